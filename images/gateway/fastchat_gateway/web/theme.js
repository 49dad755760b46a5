// Loaded before anything is drawn, so that a dark page does not begin white.
"use strict";
{
  let chosen = null;
  try {
    chosen = localStorage.getItem("fastchat.theme");
  } catch {
    // A browser that keeps nothing follows its own setting.
  }
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
}
