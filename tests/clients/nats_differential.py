"""The same seeded operations, core and API, on three connections of two NATS servers: equal answers.

Usage: nats_differential.py PORT_ONE PORT_OTHER [SEED [OPERATIONS]]

Each operation waits until both servers have said all that they will say to it (a request until its answer has
come, and every connection until its PING is answered), so that the order of events is the same on both. Times,
names made up by a server, and the server's own name and limits are left out of the comparison; what is left has
to be equal, field by field. Prints `ok` or `FAIL` with the first operations that differ.
"""

import json
import random
import re
import socket
import sys

VOLATILE = {"created", "ts", "time", "first_ts", "last_ts", "last_active", "cluster", "num_waiting"}
VOLATILE |= {"pause_remaining", "pinned_client_id", "pinned_ts"}
LIMITS = {"memory", "storage", "reserved_memory", "reserved_storage", "api", "bytes"}
# Long gone, and far away.
TIMES = ["2001-01-01T00:00:00Z", "2199-01-01T00:00:00Z"]
STREAMS = ["A", "B", "C"]
RETENTIONS = ["limits", "limits", "limits", "interest", "workqueue"]
SUBJECTS = ["x.1", "x.2", "x.1.y", "y.1", "y.2", "z"]
# None that takes requests: what nobody answers is answered by a status only where nobody listens.
PATTERNS = SUBJECTS + ["x.*", "x.>", "*.1", "y.>", "y.*", "*"]


# Instead of how many answers there are: as many as come until one says that it is the last.
UNTIL_END = -1


def is_last(operation):
    """Whether a direct read has no more to give after this."""
    headers = operation[1]
    return headers.startswith(b"NATS/1.0 ") or b"Nats-Num-Pending" not in headers


class Peer:
    """One connection."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.settimeout(5)
        self.file = self.socket.makefile("rb")
        assert self.file.readline().startswith(b"INFO ")
        self.send(b'CONNECT {"verbose":false,"pedantic":false,"headers":true,"no_responders":true}\r\n')

    def send(self, data):
        self.socket.sendall(data)

    def operation(self):
        line = self.file.readline()
        while line.startswith(b"PING"):
            # A server asks whenever it likes.
            self.send(b"PONG\r\n")
            line = self.file.readline()
        assert line.endswith(b"\n"), f"the server closed the connection: {line}"
        words = line.split()
        if words[0] not in (b"MSG", b"HMSG"):
            return line.strip().decode(), b"", b""
        size = int(words[-1])
        body = self.file.read(size + 2)[:-2]
        headers = int(words[-2]) if words[0] == b"HMSG" else 0
        return line.strip().decode(), body[:headers], body[headers:]

    def settle(self):
        """All that the server says before it answers a PING."""
        self.send(b"PING\r\n")
        said = []
        while True:
            operation = self.operation()
            if operation[0] == "PONG":
                return said
            said.append(operation)

    def until_answer(self, sid):
        """All that the server says up to a message for `sid`."""
        said = []
        while True:
            operation = self.operation()
            said.append(operation)
            words = operation[0].split()
            if words[0] in ("MSG", "HMSG") and words[2] == sid:
                return said


def steady(value):
    if isinstance(value, dict) and value.get("error", {}).get("err_code") == 10025:
        # What is wrong with JSON is said in the words of the parser.
        return "invalid JSON"
    if isinstance(value, dict) and value.get("deleted") == [0]:
        # An empty stream in nats-server's memory lists a message that never was.
        value = {key: inner for key, inner in value.items() if key not in ("deleted", "num_deleted")}
    if isinstance(value, dict):
        return {
            key: steady(inner)
            for key, inner in sorted(value.items())
            if key not in VOLATILE and not (key in LIMITS and key != "bytes")
        }
    if isinstance(value, list):
        return sorted((steady(inner) for inner in value), key=str)
    return value


def normal(operation):
    line, headers, payload = operation
    words = line.split()
    if words[0] in ("MSG", "HMSG"):
        # Which member of a group gets a message is the server's choice.
        words[2] = words[2].split("-")[0]
        words = [
            ".".join(part if at != 7 else "TIME" for at, part in enumerate(word.split(".")))
            if word.startswith("$JS.ACK")
            else word
            for word in words[: 3 if len(words) < (5 if words[0] == "MSG" else 6) else 4]
        ]
        lines = headers.decode().split("\r\n")
        fresh = ("Nats-Time-Stamp", "Nats-Pin-Id")
        if words[2] == "sent":
            # After a subject's last message was deleted, nats-server sends the next one on with a last sequence of 0 where
            # two or more older ones are left; tests/engine_jetstream_streams/rules.rs holds what it should be.
            fresh += ("Nats-Last-Sequence",)
        headers = [line.split(":")[0] if line.startswith(fresh) else line for line in lines]
        try:
            payload = json.dumps(steady(json.loads(payload)))
        except ValueError:
            payload = payload.decode("utf-8", "replace")
        return " ".join(words), tuple(headers), payload
    return line, "", ""


class Server:
    """Three connections to one server, the last of which asks the API."""

    def __init__(self, port):
        self.peers = [Peer(port) for _ in range(3)]
        self.peers[2].send(b"SUB _INBOX.d.* inbox\r\n" + b"".join(f"SUB r{name}.> sent-on\r\n".encode() for name in STREAMS))
        self.acks = []

    def perform(self, connection, data, answers):
        """All that comes of an operation. A stream in files that was just deleted can't be made again for a moment:
        nats-server (error 10049) is still about its directory; it is asked again."""
        for _ in range(1000):
            said = self.attempt(connection, data, answers)
            if not any('"err_code": 10049' in str(one) for one in said):
                break
        return said

    def attempt(self, connection, data, answers):
        said = []
        self.peers[connection].send(data)
        while answers:
            got = self.note(self.peers[connection].until_answer("inbox"))
            said += [(connection, normal(one)) for one in got]
            answers = (0 if is_last(got[-1]) else UNTIL_END) if answers == UNTIL_END else answers - 1
        for index in [connection] + [other for other in range(3) if other != connection]:
            said += [(index, normal(one)) for one in self.note(self.peers[index].settle())]
        return sorted(said, key=str)

    def note(self, said):
        for line, _, _ in said:
            self.acks += [word for word in line.split() if word.startswith("$JS.ACK")]
        return said


def request(number, subject, body=b""):
    if isinstance(body, (dict, list)):
        body = json.dumps(body).encode()
    return f"PUB {subject} _INBOX.d.{number} {len(body)}\r\n".encode() + body + b"\r\n"


def core(dice, state):
    connection = dice.randrange(2)
    kind = dice.randrange(10)
    if kind < 3:
        state["sid"] += 1
        sid = state["sid"]
        queue = dice.choice(["", "", " q", " r"])
        # A group's members are on one connection: which of them gets a message must not show.
        connection = {" q": 0, " r": 1}.get(queue, connection)
        name = f"{queue.strip()}-{sid}" if queue else str(sid)
        state["sids"].append((connection, name))
        return connection, f"SUB {dice.choice(PATTERNS)}{queue} {name}\r\n".encode(), 0
    if kind == 3 and state["sids"]:
        connection, name = state["sids"].pop(dice.randrange(len(state["sids"])))
        most = dice.choice(["", "", " 3"]) if "-" not in name else ""
        return connection, f"UNSUB {name}{most}\r\n".encode(), 0
    subject = dice.choice(SUBJECTS)
    body = bytes(dice.randrange(97, 123) for _ in range(dice.randrange(40)))
    if kind < 6:
        head = b"NATS/1.0\r\nK: v\r\n\r\n"
        return connection, f"HPUB {subject} {len(head)} {len(head) + len(body)}\r\n".encode() + head + body + b"\r\n", 0
    return connection, f"PUB {subject} {len(body)}\r\n".encode() + body + b"\r\n", 0


def stream_config(dice, state, name):
    """A stream keeps its retention until it is deleted: a nats-server that is told to change it keeps doing some of what
    the old one asked for (a stream made with limits never lets go of what a consumer without acknowledgements got)."""
    config = {"name": name, "subjects": [f"s{name}.>"], "storage": dice.choice(["memory", "file"])}
    config["retention"] = state["retention"][name]
    for key, values in [
        ("max_msgs", [-1, 5, 20]),
        ("max_bytes", [-1, 2000]),
        ("max_msgs_per_subject", [-1, 2]),
        ("max_msg_size", [-1, 30]),
        ("discard", ["old", "old", "new"]),
        ("allow_direct", [True, True, False]),
        ("allow_rollup_hdrs", [True, False]),
        ("deny_delete", [False]),
        ("allow_msg_ttl", [False, False, True]),
        ("subject_transform", [None, None, {"src": f"s{name}.a", "dest": f"s{name}.b"}]),
        ("republish", [None, None, {"src": f"s{name}.*", "dest": f"r{name}.$1"},
                       {"src": f"s{name}.>", "dest": f"r{name}.>", "headers_only": True}]),
    ]:
        config[key] = dice.choice(values)
    return config


# What else may be asked of a consumer; some of it makes no sense.
MORE = [
    {"headers_only": True},
    {"sample_freq": "50%"},
    {"sample_freq": "100", "description": "all of them"},
    {"pause_until": TIMES[0]},
    {"pause_until": TIMES[1]},
    {"priority_policy": "overflow", "priority_groups": ["A"]},
    {"priority_policy": "pinned_client", "priority_groups": ["A", "B"], "priority_timeout": 3_600_000_000_000},
    {"priority_groups": ["A"]},
    {"priority_policy": "overflow"},
    {"priority_policy": "overflow", "priority_groups": ["no name"]},
    {"priority_policy": "overflow", "priority_groups": [""]},
    {"rate_limit_bps": 1000},
    {"idle_heartbeat": 1_000_000_000},
    {"flow_control": True},
    {"opt_start_seq": 3},
    {"backoff": [3_600_000_000_000, 7_200_000_000_000], "max_deliver": 3},
    {"backoff": [1, 2, 3], "max_deliver": 2},
    {"max_batch": 5, "max_expires": 90_500_000_000},
]


def next_request(dice):
    """What asks for a message, with a group now and then. What only one kind of group knows is left out: nats-server
    refuses it elsewhere and serves it all the same."""
    wish = {"batch": 1, "expires": 20_000_000}
    if dice.random() < 0.5:
        wish.update(dice.choice([{"group": "A"}, {"group": "A"}, {"group": "C"}, {"no_wait": True, "expires": 0}]))
    return wish


def consumer_config(dice, name):
    config = {"durable_name": name, "ack_policy": dice.choice(["explicit", "explicit", "none", "all"])}
    config["deliver_policy"] = dice.choice(["all", "all", "new", "last"])
    if dice.random() < 0.3:
        config["max_ack_pending"] = dice.choice([2, 10])
    if dice.random() < 0.4:
        config.update(dice.choice(MORE))
    return config


def stored(dice, number, name):
    """A message to a stream, with an acknowledgement."""
    subject = f"s{name}.{dice.choice('abc')}"
    body = bytes(dice.randrange(97, 123) for _ in range(dice.randrange(45)))
    lines = []
    if dice.random() < 0.3:
        lines.append(f"Nats-Msg-Id: {dice.randrange(30)}")
    if dice.random() < 0.1:
        lines.append(f"Nats-Expected-Last-Sequence: {dice.randrange(20)}")
    if dice.random() < 0.05:
        lines.append(f"Nats-Expected-Stream: {dice.choice(STREAMS)}")
    if dice.random() < 0.05:
        lines.append("Nats-Rollup: sub")
    if dice.random() < 0.05:
        # No lifetime that makes no sense: nats-server refuses that and reckons with one message more from then on.
        lines.append(f"Nats-TTL: {dice.choice(['never', '1h', '3600'])}")
    if not lines:
        return request(number, subject, body)
    head = ("NATS/1.0\r\n" + "\r\n".join(lines) + "\r\n\r\n").encode()
    sizes = f"{len(head)} {len(head) + len(body)}"
    return f"HPUB {subject} _INBOX.d.{number} {sizes}\r\n".encode() + head + body + b"\r\n"


def direct(dice, name):
    """What a direct read asks for."""
    pattern = lambda: f"s{name}.{dice.choice('abc*>')}"
    wish = dice.choice(
        [
            {"seq": dice.randrange(1, 30)},
            {"last_by_subj": pattern()},
            {"next_by_subj": pattern(), "seq": dice.randrange(15)},
            {"seq": dice.randrange(1, 20), "batch": dice.randrange(1, 6)},
            {"next_by_subj": pattern(), "seq": dice.randrange(15), "batch": dice.randrange(1, 6)},
            {"multi_last": [pattern() for _ in range(dice.randrange(1, 3))]},
            {"multi_last": [pattern()], "up_to_seq": dice.randrange(1, 30)},
            {"multi_last": [pattern()], "batch": dice.randrange(1, 3), "seq": dice.randrange(20)},
            {"multi_last": [pattern()], "last_by_subj": pattern()},
            {"batch": 3},
        ]
    )
    if dice.random() < 0.2:
        wish["max_bytes"] = dice.choice([1, 60, 1_000])
    return wish


def api(dice, state, number):
    name, consumer = dice.choice(STREAMS), dice.choice(["p", "q"])
    kind = dice.randrange(44)
    ask = lambda subject, body=b"": (2, request(number, f"$JS.API.{subject}", body), 1)
    if kind < 14:
        return 2, stored(dice, number, name), 1
    if kind < 17:
        return ask(f"STREAM.CREATE.{name}", stream_config(dice, state, name))
    if kind == 17:
        state["retention"][name] = dice.choice(RETENTIONS)
        return ask(f"STREAM.DELETE.{name}")
    if kind == 18:
        return ask(f"STREAM.UPDATE.{name}", stream_config(dice, state, name))
    if kind < 21:
        details = [b"", {"subjects_filter": f"s{name}.>"}, {"subjects_filter": f"s{name}.b", "deleted_details": True}]
        return ask(f"STREAM.INFO.{name}", dice.choice(details))
    if kind == 21:
        # Without a filter, nats-server's streams in memory keep so many sequences, whether there are messages or not.
        kept = {"filter": f"s{name}.b", "keep": 1}
        body = dice.choice([b"", kept, {"seq": 5}, {"filter": f"s{name}.a"}])
        return ask(f"STREAM.PURGE.{name}", body)
    if kind == 22:
        return ask(dice.choice(["STREAM.NAMES", "STREAM.LIST"]), {"offset": 0})
    if kind < 26:
        body = dice.choice(
            [{"seq": dice.randrange(30)}, {"last_by_subj": f"s{name}.{dice.choice('abc')}"},
             {"seq": dice.randrange(10), "next_by_subj": f"s{name}.b"}]
        )
        return ask(f"STREAM.MSG.GET.{name}", body)
    if kind == 26:
        return ask(f"STREAM.MSG.DELETE.{name}", {"seq": dice.randrange(30)})
    if kind < 29:
        one = dice.random() < 0.1
        subject, body = (f"{name}.s{name}.{dice.choice('abc')}", b"") if one else (name, direct(dice, name))
        return ask(f"DIRECT.GET.{subject}", body)[:2] + (UNTIL_END,)
    if kind < 31:
        config = {"stream_name": name, "config": consumer_config(dice, consumer)}
        return ask(f"CONSUMER.DURABLE.CREATE.{name}.{consumer}", config)
    if kind < 33:
        return ask(f"CONSUMER.INFO.{name}.{consumer}")
    if kind == 33:
        return ask(f"CONSUMER.NAMES.{name}", {"offset": 0})
    if kind == 34:
        return ask(f"CONSUMER.DELETE.{name}.{consumer}")
    if kind < 39:
        return ask(f"CONSUMER.MSG.NEXT.{name}.{consumer}", next_request(dice))
    if kind < 42:
        body = dice.choice([b"", {"pause_until": dice.choice(TIMES)}, {"pause_until": "soon"}, b"{bad"])
        return ask(f"CONSUMER.PAUSE.{name}.{consumer}", body)
    if kind == 42:
        return ask(f"CONSUMER.UNPIN.{name}.{consumer}", dice.choice([{"group": "A"}, {"group": "C"}, {}, b""]))
    return ask(dice.choice([f"STREAM.INFO.{name}x", f"CONSUMER.INFO.{name}.none", "INFO"]), dice.choice([b"", b"{bad"]))


def related(history, most=8):
    """The last operations on the stream of the last one, oldest first."""
    name = next((name for name in STREAMS if re.search(rf"[.s]{name}\b", history[-1].decode("latin-1"))), None)
    alike = [one for one in history[:-1] if name and re.search(rf"[.s]{name}\b", one.decode("latin-1"))]
    return alike[-most:]


def main():
    ports = [int(port) for port in sys.argv[1:3]]
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    operations = int(sys.argv[4]) if len(sys.argv) > 4 else 10_000
    dice, state = random.Random(seed), {"sid": 0, "sids": [], "retention": {}}
    state["retention"] = {name: dice.choice(RETENTIONS) for name in STREAMS}
    servers = [Server(port) for port in ports]
    history, differing = [], 0
    for number in range(operations):
        connection, data, answers = core(dice, state) if dice.random() < 0.4 else api(dice, state, number)
        fresh = [server.acks[-1:] for server in servers]
        for server in servers:
            server.acks.clear()
        if all(fresh) and dice.random() < 0.7:
            # What the operation before this one delivered, on each server by its own subject.
            connection, answers = 2, 1
            word = dice.choice([b"+ACK", b"-NAK", b"+TERM"])
            parts = [request(number, ack[0], word) for ack in fresh]
        else:
            parts = [data, data]
        try:
            said = [server.perform(connection, part, answers) for server, part in zip(servers, parts)]
        except TimeoutError:
            print(f"FAIL nats differential: no answer to {parts} (seed {seed}, operation {number})")
            return
        history.append(parts[0])
        if said[0] != said[1]:
            differing += 1
            print(f"operation {number}: {parts[0]!r}", file=sys.stderr)
            for before in related(history):
                print(f"  after {before!r}", file=sys.stderr)
            for name, one, other in (("first", said[0], said[1]), ("second", said[1], said[0])):
                print(f"  {name}: {[item for item in one if item not in other]}", file=sys.stderr)
            if differing == 10:
                break
    if differing:
        print(f"FAIL nats differential: {differing} of {len(history)} operations differ (seed {seed})")
    else:
        print(f"ok nats differential: {len(history)} operations, core and API, answered alike (seed {seed})")


main()
