"""nats.py publishes, subscribes, requests, and uses streams with pull, push and ordered consumers. Usage: nats_py.py PORT"""

import asyncio
import sys

import nats
from nats.js.api import AckPolicy, ConsumerConfig, StorageType
from nats.js.errors import APIError, NotFoundError

SERVER = f"nats://127.0.0.1:{sys.argv[1]}"


async def core(nc):
    got = asyncio.Queue()
    await nc.subscribe("py.a.*", cb=got.put)
    first, second = await nc.subscribe("py.a.x", queue="q"), await nc.subscribe("py.a.x", queue="q")
    await nc.flush()
    await nc.publish("py.a.x", b"one")
    await nc.publish("py.a.x", b"two", headers={"K": "v"})
    await nc.publish("py.b.x", b"nobody's")
    messages = [await asyncio.wait_for(got.get(), 5) for _ in range(2)]
    assert [(m.data, m.headers) for m in messages] == [(b"one", None), (b"two", {"K": "v"})]
    await nc.flush()
    assert first.pending_msgs + second.pending_msgs == 2, "one of a group gets each message"


async def request(nc):
    async def answer(message):
        await message.respond(message.data + b"!")

    await nc.subscribe("py.service", cb=answer)
    assert (await nc.request("py.service", b"hi", timeout=5)).data == b"hi!"
    try:
        await nc.request("py.nobody", b"?", timeout=5)
    except nats.errors.NoRespondersError:
        return
    raise AssertionError("somebody answered")


async def streams(nc):
    js = nc.jetstream()
    for storage in (StorageType.FILE, StorageType.MEMORY):
        await js.add_stream(name="PY", subjects=["py.s.>"], storage=storage, max_msgs_per_subject=3)
        first = await js.publish("py.s.a", b"0", headers={"Nats-Msg-Id": "id"})
        again = await js.publish("py.s.a", b"0", headers={"Nats-Msg-Id": "id"})
        assert (first.seq, first.duplicate, again.seq, again.duplicate) == (1, None, 1, True)
        try:
            await js.publish("py.s.a", b"x", headers={"Nats-Expected-Last-Sequence": "7"})
            raise AssertionError("a wrong sequence was taken")
        except APIError as error:
            assert error.err_code == 10071, error
        for number in range(1, 5):
            await js.publish("py.s.a", str(number).encode())
        assert (await js.stream_info("PY")).state.messages == 3
        last = await js.get_last_msg("PY", "py.s.a")
        assert (last.seq, last.data) == (5, b"4")
        assert await js.delete_msg("PY", 4)
        assert await js.purge_stream("PY", keep=1)
        assert (await js.stream_info("PY")).state.messages == 1
        assert await js.delete_stream("PY")
        try:
            await js.stream_info("PY")
            raise AssertionError("a deleted stream is there")
        except NotFoundError:
            pass


async def pull(nc):
    js = nc.jetstream()
    await js.add_stream(name="PY", subjects=["py.s.>"])
    for number in range(100):
        await js.publish(f"py.s.{number % 2}", str(number).encode())
    consumer = await js.pull_subscribe("py.s.1", durable="c", stream="PY")
    for start in range(0, 50, 10):
        messages = await consumer.fetch(10, timeout=5)
        assert [int(m.data) for m in messages] == list(range(2 * start + 1, 2 * start + 21, 2))
        for message in messages:
            await message.ack_sync(timeout=5)
    info = await consumer.consumer_info()
    assert (info.num_pending, info.num_ack_pending, info.ack_floor.stream_seq) == (0, 0, 100)
    await js.publish("py.s.1", b"again")
    (message,) = await consumer.fetch(1, timeout=5)
    await message.nak()
    (message,) = await consumer.fetch(1, timeout=5)
    assert (message.data, message.metadata.num_delivered) == (b"again", 2)
    await message.ack_sync(timeout=5)
    try:
        await consumer.fetch(1, timeout=0.2)
        raise AssertionError("there was nothing more")
    except nats.errors.TimeoutError:
        pass
    await js.delete_stream("PY")


async def push(nc):
    js = nc.jetstream()
    await js.add_stream(name="PY", subjects=["py.s.>"])
    for number in range(20):
        await js.publish("py.s.x", str(number).encode())
    config = ConsumerConfig(ack_policy=AckPolicy.EXPLICIT, idle_heartbeat=2, flow_control=True)
    durable = await js.subscribe("py.s.>", durable="p", config=config, manual_ack=True)
    ordered = await js.subscribe("py.s.>", ordered_consumer=True)
    for number in range(20):
        message = await durable.next_msg(timeout=5)
        assert int(message.data) == number
        await message.ack_sync(timeout=5)
        assert int((await ordered.next_msg(timeout=5)).data) == number
    assert (await js.consumer_info("PY", "p")).num_ack_pending == 0
    await js.delete_stream("PY")


async def keys(nc):
    js = nc.jetstream()
    bucket = await js.create_key_value(bucket="PY", history=5)
    assert await bucket.put("a", b"1") == 1
    assert (await bucket.get("a")).value == b"1"
    assert await bucket.update("a", b"2", last=1) == 2
    await bucket.delete("a")
    try:
        await bucket.get("a")
        raise AssertionError("a deleted key is there")
    except NotFoundError:
        pass
    assert len(await bucket.history("a")) == 3
    await js.delete_key_value("PY")


async def main():
    failed = 0
    for check in (core, request, streams, pull, push, keys):
        nc = await nats.connect(SERVER, allow_reconnect=False)
        try:
            await check(nc)
            print(f"ok   nats.py {check.__name__}")
        except Exception as error:  # whatever went wrong is what is to be told
            print(f"FAIL nats.py {check.__name__}: {type(error).__name__}: {error}")
            failed += 1
        await nc.close()
    return failed


sys.exit(asyncio.run(main()))
