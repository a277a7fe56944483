// All views: their path, their name in the navigation, the name by which style sheets know them, and the module
// that has them. A module is loaded when its view is first shown; its default export is a component with `params`
// and `query`.
export const ROUTES = [
  route("/", "Peers", "peers", () => import("#views/peers.js")),
  route("/peers", "Peers", "peers", () => import("#views/peers.js")),
  route("/peers/(?<id>[^/]+)", "Peers", "peer", () => import("#views/peer.js")),
  route("/terminals", "Terminals", "terminals", () => import("#views/terminals.js")),
  route("/terminals/(?<id>[^/]+)", "Terminals", "terminal", () => import("#views/terminal.js")),
  route("/sessions", "Sessions", "sessions", () => import("#views/sessions.js")),
  route("/sessions/(?<id>[^/]+)", "Sessions", "session", () => import("#views/session.js")),
  route("/sessions/(?<id>[^/]+)/timeline", "Sessions", "timeline", () => import("#views/timeline.js")),
  route("/sessions/(?<id>[^/]+)/log", "Sessions", "log", () => import("#views/log.js")),
  route("/costs", "Costs", "costs", () => import("#views/costs.js")),
  route("/permissions", "Permissions", "permissions", () => import("#views/permissions.js")),
  route("/settings", "Settings", "settings", () => import("#views/settings.js")),
  route("/health", "Health", "health", () => import("#views/health.js")),
  route("/line", "Line", "line", () => import("#views/line.js")),
  route("/search", "Search", "search", () => import("#views/search.js")),
];

export const NAVIGATION = [
  { name: "Peers", path: "/", key: "p" },
  { name: "Sessions", path: "/sessions", key: "s" },
  { name: "Line", path: "/line", key: "l" },
  { name: "Terminals", path: "/terminals", key: "t" },
  { name: "Permissions", path: "/permissions", key: "r" },
  { name: "Search", path: "/search", key: "f" },
  { name: "Costs", path: "/costs", key: "c" },
  { name: "Settings", path: "/settings", key: "e" },
  { name: "Health", path: "/health", key: "h" },
];

function route(path, name, view, load) {
  return { pattern: new RegExp(`^${path}/?$`), name, view, load };
}
