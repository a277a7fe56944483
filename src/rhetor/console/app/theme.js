// Runs before the page is drawn, so that it never shows the colors that the user has not chosen.
{
  const theme = localStorage.getItem("theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
}
