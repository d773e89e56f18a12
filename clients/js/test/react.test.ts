// @vitest-environment jsdom
import { StrictMode, act, createElement as h } from "react";
import { createRoot, hydrateRoot } from "react-dom/client";
import { renderToString } from "react-dom/server";
import { expect, test } from "vitest";

import { CommentsProvider, useComments, useCommentsSelector } from "../src/react.js";
import { setting } from "./setting.js";

Object.assign(globalThis, { IS_REACT_ACT_ENVIRONMENT: true });

const drawn = { all: 0, count: 0 };

function All() {
  drawn.all++;
  const { state, comments, pending, post } = useComments("v");
  return h("p", { onClick: () => void post("clicked") },
    `${state.is}: ${comments.map(({ message }) => message)} (${pending.length})`);
}

function Count() {
  drawn.count++;
  return h("b", null, useCommentsSelector("v", (snapshot) => snapshot.comments.length > 0 ? "some" : "none"));
}

test("in StrictMode two components share one stream, and each draws what it picks", async () => {
  const { client, clock, service, network } = setting();
  const tree = h(StrictMode, null, h(CommentsProvider, { client }, h(All), h(Count)));
  const pass = (ms: number) => act(() => clock.pass(ms));
  const element = document.createElement("div");
  const root = createRoot(element);
  await act(() => root.render(tree));
  await pass(1_000);
  expect(network.open.size).toBe(1);
  expect(element.textContent).toBe("live:  (0)none");

  service.write("ana", "hello");
  await pass(1_000);
  expect(element.textContent).toBe("live: hello (0)some");
  const counted = drawn.count;
  service.write("ana", "again");
  await pass(1_000);
  expect(element.textContent).toBe("live: hello,again (0)some");
  expect(drawn.count).toBe(counted);

  element.querySelector("p")!.dispatchEvent(new MouseEvent("click", { bubbles: true }));
  document.body.append(element);
  element.querySelector("p")!.click();
  await pass(1_000);
  expect(service.comments().at(-1)?.message).toBe("clicked");

  await act(() => root.unmount());
  await pass(1_100);
  expect(network.open.size).toBe(0);
});

test("on a server it draws the beginning, and asks for nothing", () => {
  const { client, requests } = setting();
  expect(renderToString(h(CommentsProvider, { client }, h(All)))).toContain("idle");
  expect(requests).toEqual([]);
});

test("what a server has drawn is taken over as it is, also when comments were there before", async () => {
  const { client, clock, service, video } = setting();
  const tree = h(CommentsProvider, { client }, h(All));
  const element = document.createElement("div");
  element.innerHTML = renderToString(tree);
  service.write("ana", "early");
  video.connect();
  await clock.pass(1_000);
  const faults: unknown[] = [];
  await act(() => hydrateRoot(element, tree, { onRecoverableError: (fault) => faults.push(fault) }));
  expect(faults).toEqual([]);
  expect(element.textContent).toBe("live: early (0)");
  client.close();
});

test("without a provider it says what is missing", () => {
  expect(() => renderToString(h(All))).toThrow("CommentsProvider");
});
