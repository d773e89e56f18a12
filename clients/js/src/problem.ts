/** What went wrong, by a stable code: the service's (docs/ERRORS.md), or one of the client's own. */

/** 4xx all the same worth another try: too slow, too early, too many. */
const PASSING = [408, 425, 429];

export class Problem extends Error {
  override name = "Problem";

  /**
   * `status` 0: no answer. The client's own codes: `unreachable`, `timeout`, `not_ours` (an answer that the service
   * does not give: a proxy's page, a captive portal), `no_connection`, `held_back`, `silent`, `cut`, `no_token`,
   * `interrupted`, `too_many_pending`, `reader_slow`, `closed`, `discarded`.
   */
  constructor(
    readonly code: string,
    detail: string,
    readonly status = 0,
    readonly retryAfterMs = 0,
  ) {
    super(detail);
  }

  /** The same again would be refused again, as the service itself has said. */
  get isFinal(): boolean {
    return this.status >= 400 && this.status < 500 && !PASSING.includes(this.status) && this.code !== "not_ours";
  }
}

/** The problem an answer tells. Only what has a code of ours is the service's word; all else may pass. */
export async function problemOf(response: Response): Promise<Problem> {
  const { status, headers } = response;
  let told: { code?: unknown; detail?: unknown; title?: unknown } | null = null;
  try {
    told = JSON.parse(await response.text());
  } catch {
    // a proxy's own page, or half of one
  }
  const retryAfterMs = 1_000 * Number(headers.get("Retry-After")) || 0; // a date is passed over
  return typeof told?.code == "string"
    ? new Problem(told.code, String(told.detail ?? told.title), status, retryAfterMs)
    : new Problem("not_ours", `Answered ${status}, not by the service`, status, retryAfterMs);
}

/** Whatever was thrown, as a problem. */
export const asProblem = (thrown: unknown): Problem =>
  thrown instanceof Problem ? thrown : new Problem("unreachable", String((thrown as Error)?.message ?? thrown));
