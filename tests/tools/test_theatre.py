"""The theatre shows what the servers really did, and the same on every machine."""

import time
import xml.etree.ElementTree as ElementTree

import pytest
from lab import wire
from lab.observe import trace
from lab.theatre import draw
from lab.theatre import page as theatre
from lab.theatre.steps import CLEAN_UP, SET_UP, frames, length, payloads

SCENES = sorted(theatre.SCENES)
STAGES = [3, 4]
EACH = pytest.mark.parametrize("stage", STAGES)
EACH_SCENE = pytest.mark.parametrize("name", SCENES)
SECONDS = 10
REPLIES = {  # by scene and client: what each must have got in the end
    "batch": {"a": [":1", ":2", ":3", ":4", ":5"]},
    "pieces": {"a": ["+OK", "$hello", "+PONG"]},
    "slow": {"a": ["$a", "$b", "$c", "$d", "$e", "$f"], "b": ["+PONG"]},
    "two": {"a": ["$half"], "b": ["$one", "$two", "$three"]},
}


def found(name, stage):
    return theatre.scene(name).found[stage]


def calls(records):
    """The calls of a trace on which a script and a real kernel must agree."""
    kept = "poll register modify recv send consume make_room try_one_request answer"
    return [
        (record["call"], record["fd"], record["args"], record["result"])
        for record in records
        if record["call"] in kept.split()
    ]


# The kernel that follows a script.


@EACH
def test_a_scene_is_the_same_in_every_run(stage):
    assert theatre.play(stage, "slow") == theatre.play(stage, "slow")


@EACH
def test_the_scripted_kernel_leads_to_the_same_calls_as_a_real_one(stage):
    requests = theatre.BATCH.encode("latin-1")
    with trace.start_traced_server(stage) as server:
        with wire.connect(server.port) as sock:
            wait_for_accept(server)
            with server.paused():
                sock.sendall(requests)
            for number in range(1, 6):
                assert wire.receive_frame(sock) == b":%d" % number
            wire.ask(sock, b"PING")  # now all records of the batch have been written
            real = calls(server.records())
    scripted = calls(theatre.play(stage, "batch"))
    sent = max(n for n, call in enumerate(scripted) if call[0] == "send") + 1
    assert real[:sent] == scripted[:sent]


def wait_for_accept(server):
    """Return once the server has accepted its client; what is sent then is one read."""
    deadline = time.monotonic() + SECONDS
    while not any(record["call"] == "accept" for record in server.records()):
        assert time.monotonic() < deadline, f"no accept() within {SECONDS} s"
        time.sleep(0.01)


# What the steps say.


@EACH
@EACH_SCENE
def test_buffers_hold_the_part_of_the_streams_that_the_counts_say(name, stage):
    for step in found(name, stage):
        for view in step.views:
            incoming, outgoing = view.state["incoming"], view.state["outgoing"]
            done = view.received - length(incoming)
            assert view.client.requests[done : view.received] == incoming["data"]
            end = view.replied + length(outgoing)
            assert view.client.replies[view.replied : end] == outgoing["data"]
            assert view.read <= view.replied
            assert view.received <= view.sent


@EACH
@EACH_SCENE
def test_all_clients_get_their_replies_and_no_others(name, stage):
    views = found(name, stage)[-1].views
    got = {view.client.name: payloads(view.client.replies, 0, view.read) for view in views}
    assert got == REPLIES[name]


@EACH
@EACH_SCENE
def test_counts_only_grow(name, stage):
    for before, after in zip(found(name, stage), found(name, stage)[1:]):
        assert before.group <= after.group
        assert before.loop <= after.loop
        assert before.moved <= after.moved


def test_a_batch_takes_a_loop_each_in_milestone_3_and_one_in_milestone_4():
    # One loop accepts the client, one reads the end of the stream.
    assert found("batch", 3)[-1].loop == 2 + 1 + 5
    assert found("batch", 4)[-1].loop == 2 + 1
    frame = len(theatre.BATCH) // 5
    assert found("batch", 3)[-1].moved == frame * (4 + 3 + 2 + 1)
    assert found("batch", 4)[-1].moved == 0


def test_a_poll_set_is_built_in_each_loop_in_milestone_3_and_once_in_milestone_4():
    built = {stage: [s for s in found("batch", stage) if s.phase == SET_UP] for stage in STAGES}
    loops = found("batch", 3)[-1].loop
    assert len(built[3]) == loops + 1  # the last one is for a loop in which nobody comes
    assert all("built from the flags" in step.say for step in built[3])
    assert ["made once" in step.say for step in built[4]] == [True]


@EACH
def test_what_was_read_is_shown_in_incoming_before_it_is_answered(stage):
    reading = next(step for step in found("batch", stage) if step.call.startswith("recv"))
    assert reading.views[0].state["incoming"]["data"] == theatre.BATCH.encode("latin-1")
    answering = found("batch", stage)[found("batch", stage).index(reading) + 1]
    made = payloads(answering.views[0].client.replies, 0, answering.views[0].produced)
    assert made == REPLIES["batch"]["a"][:1]
    assert answering.views[0].replied == 0


def test_the_pointer_of_the_sliding_window_moves_at_every_message():
    taken = [s for s in found("batch", 4) if s.call.startswith("try_one_request")]
    windows = [step.views[0].state["incoming"] for step in taken]
    assert [window["data_begin"] for window in windows] == [10, 20, 30, 40, 0]
    assert {window["data_end"] for window in windows[:-1]} == {50}


@EACH
def test_half_a_frame_waits_in_incoming_until_the_rest_is_there(stage):
    waiting = [length(step.views[0].state["incoming"]) for step in found("pieces", stage)[5:]]
    assert {2, 9, 5, 3} <= set(waiting)
    assert waiting[-1] == 0


def test_a_slow_reader_is_not_read_from_while_another_client_is_served():
    stalled = [
        step
        for step in found("slow", 4)
        if step.views
        and not step.views[0].state["want_read"]
        and step.views[0].sent > step.views[0].received
    ]
    assert stalled[-1].views[1].read == len(wire.frame(b"+PONG"))
    # At the mark no request is run, so it is passed by one reply at the most.
    high_water = theatre.SCENES["slow"]["constants"]["HIGH_WATER"]
    most = max(length(step.views[0].state["outgoing"]) for step in found("slow", 4) if step.views)
    assert high_water <= most < high_water + len(wire.frame(b"$a"))


@EACH
def test_a_closed_connection_leaves_the_poll_set(stage):
    closing = next(step for step in found("batch", stage) if step.phase == CLEAN_UP)
    assert closing.call == "close(4)"
    assert set(closing.interest) == {3}
    assert closing.views[0].closed


# Two servers beside each other.


@EACH_SCENE
def test_both_are_shown_all_their_steps_at_the_same_time_as_the_clients_move(name):
    scene = theatre.scene(name)
    for side, stage in enumerate(STAGES):
        shown = [pair[side] for pair in scene.pairs]
        assert sorted(set(shown)) == list(range(len(scene.found[stage])))
        assert shown == sorted(shown)
    for left, right in scene.pairs:
        assert scene.found[3][left].group == scene.found[4][right].group


def test_who_is_done_sleeps_until_the_other_is_done():
    scene = theatre.scene("batch")
    waiting = [scene.found[4][right] for _, right in scene.pairs[17:32]]
    assert {(step.call, step.say) for step in waiting} == {
        ("poll()", "Nothing is ready: the server sleeps.")
    }


# The pictures and the page.


@EACH_SCENE
def test_a_still_is_svg_that_shows_both(name):
    root = ElementTree.fromstring(theatre.still(name))
    words = list(root.itertext())
    assert "Milestone 3" in words and "Milestone 4" in words
    assert words.count("incoming") >= 2


def test_the_sliding_window_is_drawn_with_its_pointers():
    stream = wire.frame(b"SET k hello") + wire.frame(b"GET k")[:5]
    window = {"kind": "Buffer", "data_begin": 15, "data_end": 20, "buffer_end": 40}
    drawn = draw.window_row("incoming", stream, 15, window, "in")
    words = set(ElementTree.fromstring(f"<g>{drawn}</g>").itertext())
    assert words == {
        *("incoming", "consumed", "5", "G", "room"),
        *("data_begin 15", "data_end 20", "buffer_end 40"),
    }


def test_pointers_at_the_same_place_share_a_label():
    drawn = draw.pointers([104, 200, 200], (0, 9, 9))
    assert ">data_end = buffer_end 9<" in drawn
    assert drawn.count("<path") == 2


def test_a_frame_that_is_cut_shows_how_much_of_its_header_is_there():
    stream = wire.frame(b"PING")
    assert ">2B<" in draw.run(stream, 0, 2, "in")[0]
    assert "text" not in draw.run(stream, 0, 1, "in")[0]
    assert ">4<" in draw.run(stream, 0, 4, "in")[0]
    assert frames(stream[:2]) == [(0, 4)]


def test_the_page_is_one_file_that_loads_nothing():
    page = theatre.page().replace("http://www.w3.org/2000/svg", "")
    for outside in ("http:", "https:", "src=", "@import", "url(h", "fetch("):
        assert outside not in page
    assert theatre.page() == theatre.page()


def test_content_cannot_end_the_script_of_the_page(monkeypatch):
    sent = theatre.frames(b"ECHO <!--<script></script>")
    moves = [[["a", "connect", None]], [["a", "send", sent]], [["a", "close"]]]
    odd = {"title": "odd", "note": "", "constants": {}, "moves": moves}
    monkeypatch.setitem(theatre.SCENES, "odd", odd)
    page = theatre.page(["odd"])
    assert page.count("</script>") == 1
    assert "<!--" not in page
    assert "ECHO\xa0&lt;!--&lt;script&gt;" in page
