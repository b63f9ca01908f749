// node-redis publishes, subscribes and pattern-subscribes through a server. Usage: node_redis.mjs PORT
import assert from "node:assert/strict";
import { createClient } from "redis";

const port = Number(process.argv[2]);

/** The next call of the listener that `subscribe` is given; fails when none comes in 5 s. */
function next(subscribe) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error("no message came")), 5000);
    subscribe((message, channel) => {
      clearTimeout(timer);
      resolve([channel, message]);
    });
  });
}

async function everything(RESP) {
  const client = createClient({ socket: { host: "127.0.0.1", port, reconnectStrategy: false }, RESP });
  const listener = client.duplicate();
  client.on("error", () => {});
  listener.on("error", () => {});
  await client.connect();
  await listener.connect();
  assert.equal(await client.ping(), "PONG");
  let heard;
  const first = next((hear) => (heard = listener.subscribe("a", hear)));
  await heard;
  assert.equal(await client.publish("a", "one"), 1);
  assert.deepEqual(await first, ["a", "one"]);
  const second = next((hear) => (heard = listener.pSubscribe("b*", hear)));
  await heard;
  assert.equal(await client.publish("bc", "two"), 1);
  assert.deepEqual(await second, ["bc", "two"]);
  const third = next((hear) => (heard = listener.sSubscribe("s", hear)));
  await heard;
  assert.equal(await client.sPublish("s", "three"), 1);
  assert.deepEqual(await third, ["s", "three"]);
  assert.deepEqual(await client.pubSubChannels(), ["a"]);
  assert.deepEqual(await client.multi().publish("a", "four").ping().exec(), [1, "PONG"]);
  const replies = await Promise.all(Array.from({ length: 10000 }, (_, n) => client.publish("nobody", String(n))));
  assert.equal(replies.reduce((sum, n) => sum + n, 0), 0);
  await listener.unsubscribe("a");
  await listener.pUnsubscribe("b*");
  await listener.sUnsubscribe("s");
  await assert.rejects(client.get("key"), /without a keyspace/);
  await listener.close();
  await client.close();
}

let failed = 0;
for (const RESP of [2, 3]) {
  try {
    await everything(RESP);
    console.log(`ok   node-redis RESP${RESP}`);
  } catch (error) {
    failed += 1;
    console.log(`FAIL node-redis RESP${RESP}: ${error.stack}`);
  }
}
process.exit(failed);
