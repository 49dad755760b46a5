// The page: which of its two views is shown, its theme, its side.
import { announce } from "./core/announce.js";
import { byId } from "./core/dom.js";
import { startKeyDialog } from "./core/key.js";
import { Chat } from "./chat/chat.js";
import { OperatorsView } from "./operators/view.js";

const THEMES = ["auto", "light", "dark"];

function startTheme() {
  const control = byId("theme-button");
  const { dataset } = document.documentElement;
  const show = () => {
    const now = dataset.theme ?? "auto";
    control.textContent = { auto: "◐", light: "☀", dark: "☾" }[now];
    control.setAttribute("aria-label", `Theme: ${now}`);
    control.title = `Theme: ${now}`;
  };
  control.addEventListener("click", () => {
    const next = THEMES[(THEMES.indexOf(dataset.theme ?? "auto") + 1) % THEMES.length];
    if (next === "auto") delete dataset.theme;
    else dataset.theme = next;
    try {
      localStorage.setItem("fastchat.theme", next);
    } catch {
      // It holds until the page is loaded again.
    }
    show();
    announce(`Theme: ${next}.`);
  });
  show();
}

function startSidebar() {
  const toggle = byId("sidebar-toggle");
  toggle.addEventListener("click", () => {
    const open = document.body.classList.toggle("with-sidebar");
    toggle.setAttribute("aria-expanded", String(open));
    if (open) byId("new-chat").focus();
  });
  byId("sidebar").addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !document.body.classList.contains("with-sidebar")) return;
    event.stopPropagation();
    toggle.click();
    toggle.focus();
  });
}

function startViews(operators) {
  const show = () => {
    const isOperators = location.hash === "#operators";
    byId("chat-view").hidden = isOperators;
    byId("operators-view").hidden = !isOperators;
    byId("sidebar-toggle").hidden = isOperators;
    document.body.classList.toggle("operators", isOperators);
    for (const [id, current] of [["to-chat", !isOperators], ["to-operators", isOperators]]) {
      if (current) byId(id).setAttribute("aria-current", "page");
      else byId(id).removeAttribute("aria-current");
    }
    document.title = isOperators ? "Operators – FastChat" : "FastChat";
    if (isOperators) operators.start();
    else operators.stop();
  };
  addEventListener("hashchange", show);
  show();
}

startTheme();
startSidebar();
startKeyDialog();
const chat = new Chat();
startViews(new OperatorsView());
byId("composer-input").focus();
await chat.loadModels();
