// Waiting for conditions. Every wait here has a bound and says what it waited
// for; nothing in the suite sleeps to let something happen.

import { setTimeout as pause } from "node:timers/promises";

export const PATIENCE = 60_000; // ms; far above what anything takes on a busy machine

// until polls check until it returns something truthy, and returns that.
export async function until(what, check, ms = PATIENCE) {
  const end = Date.now() + ms;
  for (;;) {
    const value = await check();
    if (value) return value;
    if (Date.now() > end) throw new Error(`waited ${ms} ms for ${what}`);
    await pause(15);
  }
}

// within gives the promise a bound.
export async function within(what, promise, ms = PATIENCE) {
  let timer;
  const bound = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${ms} ms for ${what}`)), ms);
  });
  try {
    return await Promise.race([promise, bound]);
  } finally {
    clearTimeout(timer);
  }
}

// event resolves with the arguments of the emitter's next event of that name.
export function event(emitter, name, ms = PATIENCE) {
  let listener;
  const fired = new Promise((resolve) => {
    listener = (...args) => resolve(args);
    emitter.on(name, listener);
  });
  return within(`event ${name}`, fired, ms).finally(() => emitter.off(name, listener));
}
