"""`loop._stopping`, which servers clear to run a loop again after a late `stop()`."""


def test_stop_cleared_before_the_next_run(aio):
    loop = aio.new_event_loop()
    try:
        loop.stop()
        assert loop._stopping is True
        loop._stopping = False
        assert loop._stopping is False
        assert loop.run_until_complete(aio.sleep(0.001, "result")) == "result"
    finally:
        loop.close()


def test_setting_the_flag_stops_like_stop(aio):
    loop = aio.new_event_loop()
    ran = []
    try:
        loop._stopping = True
        loop.call_soon(ran.append, 1)
        loop.run_forever()
        assert ran == [1]
        assert loop._stopping is False
    finally:
        loop.close()


def test_stop_cleared_by_a_callback_of_the_same_turn(aio):
    loop = aio.new_event_loop()
    turns = []

    def take_back():
        loop._stopping = False
        loop.call_soon(finish)

    def finish():
        turns.append("later")
        loop.stop()

    try:
        loop.call_soon(loop.stop)
        loop.call_soon(take_back)
        loop.run_forever()
        assert turns == ["later"]
    finally:
        loop.close()
