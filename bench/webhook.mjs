// What a Node pipeline does with each event: parse, de-duplicate, normalize, await a POST, write an audit line.
// node webhook.mjs URL FRAMES WORKERS WARM_UP SECONDS: FRAMES holds a JSON frame a line; audit lines go to standard
// output, and {"requests":…,"seconds":…,"p99Ms":…} of the time after the warm-up to standard error at the end.
import { readFileSync } from "node:fs";

const [url, path, workers, warmUp, seconds] = process.argv.slice(2);
const frames = readFileSync(path, "utf8").trimEnd().split("\n");
const ID_START = '{"id":"'.length + 24; // the last 12 digits of the id count, so that no event is a duplicate
const seen = new Map();
const milliseconds = [];
let next = 0;

function frame() {
  const number = next++;
  const text = frames[number % frames.length];
  return text.slice(0, ID_START) + number.toString(16).padStart(12, "0") + text.slice(ID_START + 12);
}

function normalized(raw) {
  return {
    analyticsId: raw.id,
    eventType: raw.type ?? "interaction",
    conversationId: raw.conversationId,
    timestamp: new Date(raw.timestamp).toISOString(),
    source: "genesys-cloud",
    payload: {
      direction: raw.direction,
      duration: raw.duration ?? 0,
      participants: raw.participants ?? [],
      metadata: raw.metadata ?? {},
    },
  };
}

async function worker(begin, end) {
  while (performance.now() < end) {
    const raw = JSON.parse(frame());
    if (seen.has(raw.id)) continue;
    seen.set(raw.id, Date.now());
    const event = normalized(raw);
    const sent = performance.now();
    const answer = await fetch(url, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(event),
      signal: AbortSignal.timeout(3000),
    });
    await answer.arrayBuffer();
    if (!answer.ok) throw new Error(`answered ${answer.status}`);
    if (sent >= begin) milliseconds.push(performance.now() - sent);
    const audit = { processedAt: new Date().toISOString(), analyticsId: event.analyticsId, status: "processed" };
    process.stdout.write(JSON.stringify(audit) + "\n");
  }
}

const begin = performance.now() + Number(warmUp) * 1000;
await Promise.all(Array.from({ length: Number(workers) }, () => worker(begin, begin + Number(seconds) * 1000)));
const taken = (performance.now() - begin) / 1000;
milliseconds.sort((a, b) => a - b);
const p99 = milliseconds[Math.max(0, Math.ceil(milliseconds.length * 0.99) - 1)];
process.stderr.write(JSON.stringify({ requests: milliseconds.length, seconds: taken, p99Ms: p99 }) + "\n");
