/** Web Locks for tabs of one test, as far as the shared stream uses them. */

type Held = { end(): void; steal(): void };

export class TestLocks {
  #held = new Map<string, Held>();
  #queues = new Map<string, (() => void)[]>();

  /** What `navigator.locks` is in one tab; `close` is what a browser does when the tab goes away. */
  tab() {
    const own: (() => void)[] = [];
    const request = (
      name: string,
      { signal, steal, ifAvailable }: { signal?: AbortSignal; steal?: boolean; ifAvailable?: boolean },
      act: (lock: object | null) => Promise<void> | undefined,
    ): Promise<void> =>
      new Promise((resolve, reject) => {
        const grant = () => {
          let isOver = false;
          const end = () => {
            if (isOver) return;
            isOver = true;
            if (this.#held.get(name) == held) this.#held.delete(name);
            resolve();
            this.#next(name);
          };
          const held: Held = { end, steal: () => ((isOver = true), reject(new DOMException("stolen", "AbortError"))) };
          this.#held.set(name, held);
          own.push(end);
          void Promise.resolve(act({ name })).then(end);
        };
        if (ifAvailable && this.#held.has(name)) return void Promise.resolve(act(null)).then(resolve);
        if (steal) {
          this.#held.get(name)?.steal();
          return grant();
        }
        const queue = this.#queues.get(name) ?? [];
        this.#queues.set(name, queue);
        const leave = () => void (queue.includes(grant) && queue.splice(queue.indexOf(grant), 1));
        signal?.addEventListener("abort", () => {
          if (queue.includes(grant)) reject(signal.reason);
          leave();
        });
        queue.push(grant);
        own.push(leave);
        this.#next(name);
      });
    return { request, close: () => own.forEach((end) => end()) };
  }

  #next(name: string): void {
    queueMicrotask(() => {
      if (!this.#held.has(name)) this.#queues.get(name)?.shift()?.();
    });
  }
}
