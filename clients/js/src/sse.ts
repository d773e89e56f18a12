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
  let kind = "", id = "", data = "";
  let size = 0;
  return (text) => {
    const lines = (rest + text).split(/\r\n|\n|\r(?!$)/); // a CR at the end of a piece may be half of a CRLF
    rest = lines.pop()!;
    for (const line of lines) {
      size += line.length;
      const [, name, value] = /^([^:]*):? ?(.*)$/s.exec(line)!;
      if (name == "data") data += `\n${value}`;
      else if (name == "event") kind = value!;
      else if (name == "id" && !value!.includes("\0")) id = value!;
      else if (name == "retry" && /^\d+$/.test(value!)) retry(+value!);
      else if (!line) {
        if (data) event(kind || "message", id, data.slice(1));
        kind = data = "";
        size = 0;
      }
    }
    return rest.length + size < CHARS_MAX;
  };
}
