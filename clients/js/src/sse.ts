/** The event stream's grammar, for text that may be cut anywhere. Source: the HTML standard, 9.2.6. */

/** An event or a line longer than this is not of the service; the longest of its own has some 20,000. */
const CHARS_MAX = 1_000_000;

/**
 * A reader to be given one piece of text after the other. Returns false once the text cannot be an event stream of the
 * service. What is not ended by a blank line is never told.
 */
export function sseReader(
  event: (kind: string, id: string, data: string) => void,
  retry: (ms: number) => void,
): (text: string) => boolean {
  let rest = "";
  let kind = "", id = "", data: string | null = null;
  let size = 0;

  function line(text: string): void {
    if (!text) {
      if (data !== null) event(kind || "message", id, data);
      kind = "";
      data = null;
      size = 0;
      return;
    }
    size += text.length;
    const colon = text.indexOf(":");
    const name = colon < 0 ? text : text.slice(0, colon);
    const value = colon < 0 ? "" : text.slice(colon + (text[colon + 1] == " " ? 2 : 1));
    if (name == "data") data = data === null ? value : `${data}\n${value}`;
    else if (name == "event") kind = value;
    else if (name == "id" && !value.includes("\0")) id = value;
    else if (name == "retry" && /^\d+$/.test(value)) retry(+value);
  }

  return (text) => {
    rest += text;
    const end = /\r\n|\n|\r(?=[^])/g; // a CR at the end of a piece may be half of a CRLF
    let from = 0;
    for (let found; (found = end.exec(rest)); from = end.lastIndex) line(rest.slice(from, found.index));
    rest = rest.slice(from);
    return rest.length + size < CHARS_MAX;
  };
}
