// All views: their path, their name in the navigation, and the module that has them. A module is loaded when
// its view is first shown; its default export is a component with `params` and `query`.
export const ROUTES = [
  route("/", "Peers", () => import("#views/peers.js")),
  route("/peers", "Peers", () => import("#views/peers.js")),
  route("/peers/(?<id>[^/]+)", "Peers", () => import("#views/peer.js")),
  route("/terminals", "Terminals", () => import("#views/terminals.js")),
  route("/terminals/(?<id>[^/]+)", "Terminals", () => import("#views/terminal.js")),
  route("/sessions", "Sessions", () => import("#views/sessions.js")),
  route("/sessions/(?<id>[^/]+)", "Sessions", () => import("#views/session.js")),
  route("/sessions/(?<id>[^/]+)/timeline", "Sessions", () => import("#views/timeline.js")),
  route("/sessions/(?<id>[^/]+)/log", "Sessions", () => import("#views/log.js")),
  route("/costs", "Costs", () => import("#views/costs.js")),
  route("/permissions", "Permissions", () => import("#views/permissions.js")),
  route("/settings", "Settings", () => import("#views/settings.js")),
  route("/health", "Health", () => import("#views/health.js")),
  route("/line", "Line", () => import("#views/line.js")),
  route("/search", "Search", () => import("#views/search.js")),
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

function route(path, name, load) {
  return { pattern: new RegExp(`^${path}/?$`), name, load };
}
