/** What can be done about a comment, or about something else: a menu, made when it is first asked for. */

const MARGIN_PX = 8;
const ARMED_MS = 4_000;

const sheet = document.createElement("link");
sheet.rel = "stylesheet";
sheet.href = new URL("menu.css", import.meta.url);
const styled = new Promise((resolve) => (sheet.onload = sheet.onerror = resolve));
document.head.append(sheet);

const menu = document.createElement("div");
menu.id = "menu";
menu.popover = "auto";
menu.role = "group";
document.querySelector(".comments").append(menu); // a landmark
let opener = null;
menu.addEventListener("toggle", ({ newState }) => {
  if (newState === "closed" && opener) {
    opener.ariaExpanded = "false";
    if (opener.isConnected && menu.contains(document.activeElement)) opener.focus();
  }
});
menu.addEventListener("keydown", (event) => {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step) return;
  const buttons = [...menu.querySelectorAll("button")];
  const at = buttons.indexOf(document.activeElement);
  buttons[(at + step + buttons.length) % buttons.length]?.focus();
  event.preventDefault();
});

/** Below `button`, or above it where there is no room; within the window; on a narrow one the stylesheet puts it at the lower edge. */
function place(button) {
  const at = button.getBoundingClientRect();
  const { offsetWidth: width, offsetHeight: height } = menu;
  const clamp = (value, max) => Math.max(MARGIN_PX, Math.min(value, max - MARGIN_PX));
  menu.style.setProperty("--x", `${clamp(at.right - width, innerWidth - width)}px`);
  const below = at.bottom + 2;
  const top = below + height + MARGIN_PX > innerHeight ? at.top - height - 2 : below;
  menu.style.setProperty("--y", `${clamp(top, innerHeight - height)}px`);
}

/**
 * Shows `title` and `acts`: [label, act] or [label, act, question]. One with a question is done by a second click. An act
 * may return a promise; what it rejects with is the caller's.
 */
export async function openMenu(button, title, acts) {
  opener = button;
  const heading = document.createElement("p");
  heading.append(...title);
  menu.ariaLabel = heading.textContent; // read when the focus comes in
  menu.replaceChildren(heading, ...acts.map(([label, act, question]) => {
    const item = document.createElement("button");
    item.type = "button";
    item.textContent = label;
    let timer = 0;
    item.addEventListener("click", () => {
      clearTimeout(timer);
      if (question && item.classList.toggle("armed")) {
        item.textContent = question;
        timer = setTimeout(() => {
          item.classList.remove("armed");
          item.textContent = label;
        }, ARMED_MS);
      } else {
        menu.hidePopover();
        act();
      }
    });
    return item;
  }));
  await styled; // an element without its style would jump
  menu.showPopover();
  button.ariaExpanded = "true";
  place(button);
  menu.querySelector("button")?.focus({ preventScroll: true });
}
