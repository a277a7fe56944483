// Runs before the page is drawn, and is no module, so that it waits for nothing.
{
  // the colors that the user has chosen, so that the page never shows others first
  const theme = localStorage.getItem("theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;

  // the connection to the hub, which is made while the modules are loaded; client/connection.js takes it
  globalThis.early = { socket: new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws`) };
}
