/** What went wrong, by a stable code: the service's (docs/ERRORS.md), or one of the client's own. */

export class Problem extends Error {
  /**
   * `status` 0: no answer. The client's own codes: `unreachable`, `timeout`, `not_ours` (an answer that the service
   * does not give: a proxy's page, a captive portal), `no_connection` (no answer to a stream in 8 s: away, or too many
   * tabs without HTTP/2), `held_back` (a stream opened and brought nothing: something on the way keeps it), `silent`
   * (nothing for 2.5 heartbeats), `cut`, `offline`, `no_token` (what `getToken` threw), `interrupted` (it may have been
   * written before the page was loaded anew, or by who spoke before), `too_many_pending`, `not_a_session` (the app brings
   * its own tokens), `reader_slow`, `closed`, `discarded`. The message is the service's sentence, or the code.
   */
  constructor(
    readonly code: string,
    detail = code,
    readonly status = 0,
    readonly retryAfterMs = 0,
  ) {
    super(detail);
    this.name = "Problem";
  }

  /** The same again would be refused again, as the service itself has said; 408, 425 and 429 pass. */
  get isFinal(): boolean {
    return this.code != "not_ours" && /^4(?!08|25|29)/.test(String(this.status));
  }
}

/** The problem an answer tells. Only what has a code of ours is the service's word; all else may pass. */
export async function problemOf(response: Response): Promise<Problem> {
  const told = parsed(await response.text().catch(() => ""));
  const code = typeof told.code == "string" ? told.code : "not_ours";
  const retryAfterMs = 1_000 * Number(response.headers.get("Retry-After")) || 0; // a date is passed over
  return new Problem(code, told.detail ?? told.title, response.status, retryAfterMs);
}

/** Whatever was thrown, as a problem. */
export const asProblem = (thrown: any): Problem =>
  thrown instanceof Problem ? thrown : new Problem("unreachable", String(thrown?.message ?? thrown));

/** What a JSON text says; nothing, where it is none. */
export function parsed(text: string | null): any {
  try {
    return Object(JSON.parse(text || "{}"));
  } catch {
    return {};
  }
}
