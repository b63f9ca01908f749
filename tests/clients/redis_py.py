"""redis-py publishes, subscribes and pattern-subscribes through a server. Usage: redis_py.py PORT"""

import sys

import redis

PORT = int(sys.argv[1])


def messages(pubsub, count):
    """The next `count` messages, confirmations among them; fails when one does not come in 5 s."""
    got = []
    while len(got) < count:
        message = pubsub.get_message(timeout=5)
        assert message is not None, f"only {got} came"
        got.append((message["type"], message["channel"], message["data"]))
    return got


def everything(protocol):
    client = redis.Redis(port=PORT, protocol=protocol, decode_responses=True, client_name="checker")
    assert client.ping()
    assert client.client_getname() == "checker"
    assert client.info()["redis_version"].startswith("8.")
    assert client.info("cluster")["cluster_enabled"] == 0
    listener = client.pubsub()
    listener.subscribe("a")
    listener.psubscribe("b*")
    assert messages(listener, 2) == [("subscribe", "a", 1), ("psubscribe", "b*", 2)]
    assert client.publish("a", "one") == 1
    assert client.publish("bc", "two") == 1
    assert messages(listener, 2) == [("message", "a", "one"), ("pmessage", "bc", "two")]
    assert client.pubsub_numsub("a") == [("a", 1)]
    assert client.pubsub_numpat() == 1
    assert client.pubsub_channels() == ["a"]
    with client.pipeline(transaction=True) as pipe:
        pipe.publish("a", "three").publish("none", "four").ping()
        assert pipe.execute() == [1, 0, True]
    assert messages(listener, 1) == [("message", "a", "three")]
    if protocol == 2:  # in RESP3 the answer is no push, and redis-py does not tell it from one
        listener.ping("still there")
        assert messages(listener, 1)[0][0] == "pong"
    large = "x" * 3_000_000
    client.publish("a", large)
    assert messages(listener, 1)[0][2] == large
    listener.unsubscribe()
    listener.punsubscribe()
    assert [kind for kind, _, _ in messages(listener, 2)] == ["unsubscribe", "punsubscribe"]
    with client.pipeline(transaction=False) as pipe:
        for number in range(20_000):
            pipe.publish("nobody", number)
        assert sum(pipe.execute()) == 0
    assert any(entry["name"] == "checker" for entry in client.client_list())
    assert client.config_get("maxclients") == {"maxclients": "10000"}
    try:
        client.get("key")
        raise AssertionError("there is no keyspace")
    except redis.ResponseError as error:
        assert "without a keyspace" in str(error)


def failures():
    failed = 0
    for protocol in (2, 3):
        name = f"redis-py {redis.__version__} RESP{protocol}"
        try:
            everything(protocol)
            print(f"ok   {name}")
        except Exception as error:  # each failure is shown and counted
            failed += 1
            print(f"FAIL {name}: {error!r} at line {error.__traceback__.tb_next.tb_lineno}")
    return failed


sys.exit(failures())
