/** The comments that viewers report, for those who moderate: loaded when the list is asked for. */

const PAGE_SIZE = 20;
const REASONS = { spam: "spam", abuse: "hate or harassment", sexual: "sexual", danger: "danger", other: "other" };

/** Shows the list of `desk`; `button`: what opened it, and gets the focus back. */
export async function showReports(desk, button) {
  const panel = document.createElement("section");
  panel.id = "reports";
  panel.popover = "auto";
  panel.ariaLabel = "Reported comments";
  const [heading, status, list, foot] = ["h2", "p", "ul", "div"].map((kind) => document.createElement(kind));
  heading.textContent = "Reported comments";
  heading.tabIndex = -1;
  status.role = "status";
  const close = link("Close", () => panel.hidePopover());
  panel.append(heading, close, status, list, foot);
  document.querySelector(".comments").append(panel);
  panel.addEventListener("toggle", ({ newState }) => {
    if (newState !== "closed") return;
    if (panel.contains(document.activeElement) || document.activeElement === document.body) button.focus();
    panel.remove();
    desk.count();
  });
  panel.showPopover();
  heading.focus();

  async function read(cursor) {
    foot.replaceChildren();
    status.textContent = "Loading…";
    try {
      const { reports, nextCursor } = await desk.ask("GET", `${desk.reportsPath}?pageSize=${PAGE_SIZE}&cursor=${cursor}`);
      list.append(...reports.map((reported) => row(desk, reported)));
      status.textContent = list.childElementCount ? "" : nextCursor ? "" : "Nothing is reported. What viewers report appears here.";
      if (nextCursor) foot.append(link("More", () => read(nextCursor)));
    } catch ({ message, mayHelp }) {
      status.textContent = message;
      if (mayHelp) foot.append(link("Try again", () => read(cursor)));
    }
  }
  await read("");
}

function row(desk, { comment, count, reasons }) {
  const item = document.createElement("li");
  const [why, text, acts] = ["small", "p", "div"].map((kind) => document.createElement(kind));
  const name = document.createElement("bdi");
  name.textContent = comment.author.displayName;
  const said = Object.entries(reasons).map(([reason, times]) => `${REASONS[reason] ?? reason} ${times}`).join(", ");
  why.append(`${count === 1 ? "1 report" : `${count} reports`} · ${said}`);
  text.dir = "auto";
  text.append(name, document.createTextNode(` ${comment.message}`));
  acts.append(...desk.actsOnReported(comment, item).map(([label, act, question]) => {
    let isArmed = false;
    const button = link(label, () => {
      if (question && !isArmed) {
        isArmed = true;
        button.textContent = question;
        button.classList.add("armed");
      } else {
        item.tabIndex = -1;
        item.focus(); // the button that was pressed goes
        act();
      }
    });
    return button;
  }));
  item.append(why, text, acts);
  return item;
}

function link(label, act) {
  const button = document.createElement("button");
  Object.assign(button, { type: "button", className: "quiet", textContent: label });
  button.addEventListener("click", act);
  return button;
}
