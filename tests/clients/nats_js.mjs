// nats.js publishes, subscribes, requests, and uses streams with pull and push consumers. Usage: nats_js.mjs PORT
import assert from "node:assert/strict";
import { AckPolicy, connect, consumerOpts, createInbox, headers, nuid, StorageType, StringCodec } from "nats";

const port = Number(process.argv[2]);
const text = StringCodec();

/** Fails if a promise takes longer than 5 s. */
function soon(promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: nothing came`)), 5000);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** The first `count` messages of a subscription or of a consumer's messages. */
async function take(messages, count, each = () => {}) {
  const taken = [];
  for await (const message of messages) {
    taken.push(text.decode(message.data));
    await each(message);
    if (taken.length === count) break;
  }
  return taken;
}

async function core(nc) {
  const all = nc.subscribe("a.*");
  const group = [nc.subscribe("a.x", { queue: "q" }), nc.subscribe("a.x", { queue: "q" })];
  const head = headers();
  head.set("K", "v");
  await nc.flush();
  nc.publish("a.x", text.encode("one"));
  nc.publish("a.x", text.encode("two"), { headers: head });
  nc.publish("b.x", text.encode("nobody's"));
  const seen = [];
  assert.deepEqual(await soon(take(all, 2, (m) => seen.push(m.headers?.get("K"))), "subscribe"), ["one", "two"]);
  assert.deepEqual(seen, [undefined, "v"]);
  await nc.flush();
  assert.equal(group[0].getReceived() + group[1].getReceived(), 2, "one of a group gets each message");
  group.forEach((member) => member.unsubscribe());
}

async function request(nc) {
  const service = nc.subscribe("service", { callback: (_, m) => m.respond(text.encode(`${text.decode(m.data)}!`)) });
  const answer = await soon(nc.request("service", text.encode("hi"), { timeout: 4000 }), "request");
  assert.equal(text.decode(answer.data), "hi!");
  service.unsubscribe();
  await assert.rejects(nc.request("nobody", text.encode("?"), { timeout: 4000 }), { code: "503" });
}

async function streams(nc) {
  const jsm = await nc.jetstreamManager();
  for (const storage of [StorageType.Memory, StorageType.File]) {
    const name = nuid.next();
    await jsm.streams.add({ name, subjects: [`${name}.>`], storage, max_msgs_per_subject: 3 });
    const js = nc.jetstream();
    const first = await js.publish(`${name}.a`, text.encode("0"), { msgID: "id" });
    assert.deepEqual([first.seq, first.duplicate], [1, false]);
    assert.equal((await js.publish(`${name}.a`, text.encode("0"), { msgID: "id" })).duplicate, true);
    await assert.rejects(js.publish(`${name}.a`, text.encode("x"), { expect: { lastSequence: 7 } }), { message: /wrong last sequence: 1/ });
    for (let i = 1; i < 5; i++) await js.publish(`${name}.a`, text.encode(String(i)));
    assert.equal((await jsm.streams.info(name)).state.messages, 3);
    const message = await jsm.streams.getMessage(name, { last_by_subj: `${name}.a` });
    assert.deepEqual([message.seq, text.decode(message.data)], [5, "4"]);
    await jsm.streams.deleteMessage(name, 4);
    assert.equal((await jsm.streams.purge(name, { keep: 1 })).purged, 1);
    assert.ok((await jsm.streams.names().next()).includes(name));
    assert.ok(await jsm.streams.delete(name));
    await assert.rejects(jsm.streams.info(name), { message: /stream not found/ });
  }
}

async function pull(nc) {
  const jsm = await nc.jetstreamManager();
  const js = nc.jetstream();
  const name = nuid.next();
  await jsm.streams.add({ name, subjects: [`${name}.>`] });
  for (let i = 0; i < 100; i++) await js.publish(`${name}.${i % 2}`, text.encode(String(i)));
  await jsm.consumers.add(name, { durable_name: "c", ack_policy: AckPolicy.Explicit, filter_subject: `${name}.1` });
  const consumer = await js.consumers.get(name, "c");
  const fetched = await consumer.fetch({ max_messages: 10, expires: 3000 });
  const expected = Array.from({ length: 50 }, (_, i) => String(2 * i + 1));
  assert.deepEqual(await soon(take(fetched, 10, (m) => m.ackAck()), "fetch"), expected.slice(0, 10));
  const consumed = await consumer.consume({ max_messages: 20 });
  assert.deepEqual(await soon(take(consumed, 40, (m) => m.ackAck()), "consume"), expected.slice(10));
  const info = await consumer.info();
  assert.deepEqual([info.num_pending, info.num_ack_pending, info.ack_floor.stream_seq], [0, 0, 100]);
  // Ordered: nothing is acknowledged, everything comes in its order.
  const ordered = await js.consumers.get(name);
  const everything = await ordered.consume();
  assert.deepEqual(await soon(take(everything, 100), "ordered"), Array.from({ length: 100 }, (_, i) => String(i)));
  // Not acknowledged is delivered again.
  await js.publish(`${name}.1`, text.encode("again"));
  const once = await soon(consumer.next({ expires: 3000 }), "next");
  once.nak();
  const twice = await soon(consumer.next({ expires: 3000 }), "next after nak");
  assert.deepEqual([text.decode(twice.data), twice.info.redeliveryCount], ["again", 2]);
  assert.ok(await twice.ackAck());
  await jsm.streams.delete(name);
}

async function push(nc) {
  const jsm = await nc.jetstreamManager();
  const js = nc.jetstream();
  const name = nuid.next();
  await jsm.streams.add({ name, subjects: [`${name}.>`] });
  for (let i = 0; i < 20; i++) await js.publish(`${name}.x`, text.encode(String(i)));
  const options = consumerOpts();
  options.durable("p").manualAck().ackExplicit().deliverAll().deliverTo(createInbox()).idleHeartbeat(2000).flowControl();
  const subscription = await js.subscribe(`${name}.>`, options);
  const got = await soon(take(subscription, 20, (m) => m.ackAck()), "push");
  assert.deepEqual(got, Array.from({ length: 20 }, (_, i) => String(i)));
  assert.equal((await jsm.consumers.info(name, "p")).num_ack_pending, 0);
  await jsm.streams.delete(name);
}

for (const [what, run] of Object.entries({ core, request, streams, pull, push })) {
  const nc = await connect({ servers: `127.0.0.1:${port}`, reconnect: false });
  try {
    await run(nc);
    console.log(`ok nats.js ${what}`);
  } catch (error) {
    console.log(`FAIL nats.js ${what}: ${error.stack ?? error}`.replaceAll("\n", " "));
  }
  await nc.close();
}
