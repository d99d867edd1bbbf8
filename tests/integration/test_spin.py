"""An engine that never sleeps reads some sockets itself and leaves the others to the ring: none may be missed."""

from __future__ import annotations

from tests.integration import rig
from tests.integration.conftest import Stage

PEERS = 7  # more than are read directly, so that both ways carry messages


def test_every_socket_is_heard(stage: Stage) -> None:
    listeners = [stage.peer_listener, *(stage.later(rig.PeerListener()) for _ in range(PEERS - 1))]
    engine = stage.engine(peers=listeners, venue=stage.venue_listener, rules=[rig.rule()], mode="spin")
    engine.start()
    links = [stage.later(listener.accept()).handshake() for listener in listeners]
    stage.accept_venue().login()
    engine.wait_ready(rig.WAIT_S)
    for number, link in enumerate(links):
        tx = rig.deposit(number)
        link.deliver(tx)
        assert rig.wait_order(engine, "sent").txid == tx.id
        request = stage.venue.expect_order()
        stage.venue.acknowledge(request)
        assert rig.wait_order(engine, "acknowledged").txid == tx.id
        stage.venue.report(request["id"], "FILLED", "0.01000000")
        assert rig.wait_order(engine, "filled").txid == tx.id


def test_closed_and_silent_sockets_are_given_up(stage: Stage) -> None:
    """A receive in progress ends when its connection is closed, from either side, and another takes its place."""
    engine = stage.start(mode="spin", limits={"ping_interval_ms": 20, "idle_timeout_ms": 300})
    stage.peer.close()
    rig.wait_for(engine, lambda event: getattr(event, "state", "") == "lost")
    stage.accept_peer().handshake()
    engine.wait_ready(rig.WAIT_S)
    rig.wait_for(engine, lambda event: getattr(event, "state", "") == "lost")  # it answers no pings
    stage.accept_peer().handshake()
    engine.wait_ready(rig.WAIT_S)
    assert engine.stats().sockets_now == 2
