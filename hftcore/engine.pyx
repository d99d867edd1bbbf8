"""The engine: Bitcoin peers and exchanges on one ring in one thread, configured and watched from Python.

Everything between a transaction's bytes and a submitted order happens in C, in the reactor thread, without the GIL.
This module prepares it (templates, rules, labels, names to addresses) and turns what it reports into events.
"""

import asyncio
import atexit
import difflib
import hashlib
import hmac
import os
import select
import signal
import socket
import threading
import time
from base64 import b64encode
from collections import deque

import cython

from cpython.bytes cimport PyBytes_AS_STRING
from libc.stdint cimport uint8_t
from libc.string cimport memcpy, memset

from hftcore._events cimport EventReader
from hftcore._peers cimport fill_addresses, peer_info, read_node
from hftcore._venue cimport fill_venue, put_text
from hftcore._status cimport check, check_err, init_core, make_error
from hftcore.libhft.engine cimport (
    HFT_ENGINE_PEERS_MAX,
    HFT_ENGINE_RULES_MAX,
    HFT_EVENT_PEER,
    HFT_EVENT_VENUE,
    HFT_EVENT_WATCH,
    HFT_LATENCIES,
    HFT_RING_EPOLL,
    HFT_RING_URING,
    HFT_ROLE_INBOUND,
    HFT_ROLE_MANAGED,
    hft_engine_add_peer,
    hft_engine_add_rule,
    hft_engine_add_slots,
    hft_engine_add_venue,
    hft_engine_addresses,
    hft_engine_backend,
    hft_engine_config,
    hft_engine_event_fd,
    hft_engine_expect,
    hft_engine_free,
    hft_engine_kill,
    hft_engine_listen,
    hft_engine_new,
    hft_engine_next_resolve,
    hft_engine_node,
    hft_engine_open,
    hft_engine_peek_event,
    hft_engine_peer_info,
    hft_engine_put_addresses,
    hft_engine_put_watch,
    hft_engine_read_latency,
    hft_engine_read_peer,
    hft_engine_read_stats,
    hft_engine_release,
    hft_engine_release_event,
    hft_engine_release_watches,
    hft_engine_resolve_fd,
    hft_engine_run,
    hft_engine_stats,
    hft_engine_stop,
    hft_engine_take_node,
    hft_event,
    hft_peer_role,
    hft_ring,
    hft_ring_close,
    hft_ring_open,
    hft_rule_config,
    hft_venue_config,
)
from hftcore.libhft.hist cimport hft_hist, hft_hist_percentile
from hftcore.libhft.status cimport HFT_E_CONN_RESOLVE, HFT_E_MEMORY, hft_err
from hftcore.libhft.tls cimport hft_tls_context
from hftcore.orders cimport OrderTemplate
from hftcore.tls cimport TLSContext
from hftcore.watch cimport WatchTable

from hftcore import _fork, bitcoin, venues
from hftcore._request import check_backend
from hftcore._resolver import Resolver
from hftcore.endpoints import parse_url
from hftcore.errors import ConfigError, ConnectionLost, TLSError, VenueError
from hftcore.events import STAGES, EngineStats, Latency
from hftcore.settings import EngineLimits, RiskLimits, Rule

MS = 1_000_000
# A signal that comes between Python's last look and the system call does not interrupt the wait: look again.
SIGNAL_MS = 200
PLACEHOLDER = venues.Credentials("dry-run", b"dry-run")  # signs dry runs that were given no key


def io_uring_error():
    """"" if io_uring can be used here, else why not and what to change."""
    cdef hft_ring ring
    cdef hft_err err
    memset(&err, 0, sizeof(err))
    if hft_ring_open(&ring, HFT_RING_URING, 1, &err) < 0:
        return err.text.decode("utf-8", "replace")
    hft_ring_close(&ring)
    return ""


def self_test(template, credentials, values):
    """Holds a template's own signature against the standard library's; raises VenueError where they differ."""
    if not template.is_signed:
        return
    digest = hmac.new(credentials.secret, template.signed_text(**values), hashlib.sha256).digest()
    message = template.render(**values)
    if digest.hex().encode() not in message and b64encode(digest) not in message:
        raise VenueError("signature self-test failed: this build must not trade")


@cython.final
cdef class Engine:
    """Peers, venues and rules, run by one reactor thread.

    network: a name in ``hftcore.bitcoin.NETWORKS``, or a Network. watch: watched scripts (frozen from here on).
    mode: "sleep" blocks in the kernel between events; "spin" never does, uses a core up and saves the wake-up.
    cpu: core to pin the reactor to. backend: "io_uring", "epoll", or "auto" (epoll where io_uring is denied).
    dry_run: everything but the sending of orders. deposit_min_sat: least deposit, withdrawal or move within one house
    that is reported (rules go by their own); whale_min_sat: least output from nobody known to nobody known that is
    reported, 0 = none. withdrawals: looks for watched owners among the inputs of every transaction, not only of those
    that pay a watched script. limits, risk: see hftcore.settings.
    rehearse: keeps the way of an order warm, by building orders that are not sent while transactions are on their way.

    Add peers, venues and rules, then start(); all memory is taken then. Use it in a ``with`` block, or call stop().
    Events must be read by one thread or task at a time.
    Raises ConfigError for settings that cannot be.
    """

    def __cinit__(self, *, network="mainnet", WatchTable watch=None, mode="sleep", cpu=None, backend="auto",
                  dry_run=True, deposit_min_sat=1, whale_min_sat=0, withdrawals=True, limits=None, risk=None,
                  user_agent="/hftcore:0.1.0/", rehearse=True):
        cdef hft_engine_config config
        self._engine = NULL
        self._peers = []
        self._venues = []
        self._rules = []
        self._backlog = deque()
        self._lock = threading.RLock()  # a signal's handler may stop the engine that its own thread waits for
        self._put_lock = threading.RLock()
        self._started = threading.Event()
        self._finished = threading.Event()
        self._ready = set()
        self._errors = {}
        self._waiters = set()
        self._tls = {}
        facts = network if isinstance(network, bitcoin.Network) else bitcoin.get_network(network)
        if mode not in ("sleep", "spin"):
            raise ConfigError(f"mode {mode!r}: sleep or spin")
        backend_number = check_backend(backend)
        if cpu is not None and cpu not in os.sched_getaffinity(0):
            raise ConfigError(f"cpu {cpu}: this process may use {sorted(os.sched_getaffinity(0))}")
        if not 1 <= deposit_min_sat <= 21 * 10**14 or not 0 <= whale_min_sat <= 21 * 10**14:
            raise ConfigError("deposit_min_sat and whale_min_sat are satoshi, at most 21 million bitcoin")
        limits = limits or EngineLimits()
        risk = risk or RiskLimits()
        watch = watch if watch is not None else WatchTable(64)
        watch.hand_over(facts.name)
        self._watch = watch
        self._reader = EventReader(self._peers, self._venues, self._rules, watch)
        self._settings = {"network": facts, "mode": mode, "dry_run": bool(dry_run), "limits": limits}
        memset(&config, 0, sizeof(config))
        config.spin = mode == "spin"
        config.dry_run = bool(dry_run)
        config.no_rehearsal = not rehearse
        config.backend = backend_number
        config.cpu = -1 if cpu is None else cpu
        config.magic = int.from_bytes(facts.magic, "little")
        config.message_max = limits.message_max
        config.venue_message_max = limits.venue_message_max
        config.event_cap = limits.event_queue
        config.seen_cap = limits.seen_cap
        config.pending_cap = limits.pending_orders
        config.inputs_max = limits.inputs
        config.outpoints_cap = limits.outpoints
        config.withdrawals = bool(withdrawals)
        config.deposit_min_sat = deposit_min_sat
        config.whale_min_sat = whale_min_sat
        config.request_timeout_ns = limits.request_timeout_ms * MS
        config.connect_timeout_ns = limits.connect_timeout_ms * MS
        config.handshake_timeout_ns = limits.handshake_timeout_ms * MS
        config.venue_handshake_timeout_ns = limits.venue_handshake_timeout_ms * MS
        config.order_timeout_ns = limits.order_timeout_ms * MS
        config.announce_timeout_ns = limits.announce_timeout_ms * MS
        config.ping_interval_ns = limits.ping_interval_ms * MS
        config.idle_timeout_ns = limits.idle_timeout_ms * MS
        config.venue_ping_interval_ns = limits.venue_ping_interval_ms * MS
        config.venue_idle_timeout_ns = limits.venue_idle_timeout_ms * MS
        config.backoff_min_ns = limits.backoff_min_ms * MS
        config.backoff_max_ns = limits.backoff_max_ms * MS
        put_text(config.user_agent, sizeof(config.user_agent), user_agent, "user_agent")
        config.risk.burst = risk.burst
        config.risk.refill_ns = risk.refill_ms * MS
        config.risk.window_ns = risk.window_s * 1000 * MS
        config.risk.window_orders = risk.window_orders
        config.risk.window_notional = risk.window_notional_scaled
        config.watch = &watch.watch
        self._engine = hft_engine_new(&config)
        if self._engine == NULL:
            check(HFT_E_MEMORY)

    def __dealloc__(self):
        if self._engine != NULL:
            hft_engine_free(self._engine)

    def __repr__(self):
        state = "running" if self.running else "stopped" if self._finished.is_set() else "new"
        return (f"<Engine {state}, {self._settings['network'].name}, peers={len(self._peers)}, "
                f"venues={len(self._venues)}, rules={len(self._rules)}, dry_run={self._settings['dry_run']}>")

    # ---- set-up ----

    def _forked(self, process):
        """In a child of the process that started it, where its thread is not: nothing it shares is touched any more."""
        self._opener = process
        self._engine = NULL
        self._thread = None

    cdef int check_process(self) except -1:
        if self._opener != 0:
            raise _fork.foreign("Engine", self._opener)
        return 0

    def _require_new(self):
        self.check_process()
        if self._engine == NULL or self._thread is not None:
            raise ConfigError("peers, venues and rules are added before start()")

    def add_peer(self, str host not None, port=None):
        """Adds a Bitcoin peer by name or address; port: the network's by default. Returns its number in events."""
        self._require_new()
        if port is None:
            port = self._settings["network"].default_port
        if not host or not 0 < port < 65536:
            raise ConfigError(f"peer {host!r} port {port}: a host name and a port from 1 to 65535")
        index = check(hft_engine_add_peer(self._engine), f"at most {HFT_ENGINE_PEERS_MAX} peers")
        self._peers.append((host, port))
        return index

    cdef hft_tls_context *_tls_context(self, TLSContext given, object ca_file) except NULL:
        """The TLS context of a venue, kept as long as the engine lives; venues of one CA file share one."""
        if given is not None and ca_file is not None:
            raise ConfigError("tls and ca_file: one of them; TLSContext has a ca_file too")
        key = given or ca_file
        if key not in self._tls:
            self._tls[key] = given or TLSContext(ca_file=ca_file)
        return (<TLSContext>self._tls[key]).context

    def add_venue(self, venue, credentials=None, *, url=None, ca_file=None, tls=None):
        """Adds an exchange connection.

        venue: see hftcore.venues. credentials: needed unless dry_run; with them the login is tried in a dry run too.
        url: instead of the venue's own. ca_file: PEM file of the authorities to trust instead of the system's.
        tls: a TLSContext, for pins and client certificates. Raises ConfigError, TLSError (CA file).
        """
        cdef hft_venue_config config
        cdef hft_err err
        cdef OrderTemplate template
        self._require_new()
        if any(known.name == venue.name for known, _, _ in self._venues):
            raise ConfigError(f"venue {venue.name} is there already; give the second one another name")
        if credentials is None and not self._settings["dry_run"]:
            raise ConfigError(f"venue {venue.name}: credentials are needed to send orders; see Credentials.from_env")
        endpoint = parse_url(url or venue.url)
        memset(&config, 0, sizeof(config))
        memset(&err, 0, sizeof(err))
        config.tls = self._tls_context(tls, ca_file) if endpoint.tls else NULL
        config.port = endpoint.port
        texts = [text.encode() for text in (endpoint.host, endpoint.host_header, endpoint.target)]
        config.host = PyBytes_AS_STRING(texts[0])
        config.host_header = PyBytes_AS_STRING(texts[1])
        config.target = PyBytes_AS_STRING(texts[2])
        config.headers = b"User-Agent: hftcore\r\n"
        fill_venue(&config, venue)
        time_template = template = venue.time_template()
        config.time_request = &template.t
        user_template = venue.user_stream_template(credentials) if credentials is not None else None
        if user_template is not None:
            self_test(user_template, credentials, {"timestamp": time.time_ns()})
            template = user_template
            config.user_request = &template.t
        check_err(hft_engine_add_venue(self._engine, &config, &err), &err, f"venue {venue.name}")
        self._venues.append((venue, endpoint, credentials))
        del time_template

    def _label_bitmap(self, rule, WatchTable watch):
        """The labels a rule counts, one bit for each of the table's; None = all."""
        if rule.labels is None:
            return None
        known = {label: number for number, label in enumerate(watch.label_names)}
        bitmap = bytearray(len(known) // 8 + 1)
        for label in rule.labels:
            if label not in known:
                near = difflib.get_close_matches(label, known, 1)
                hint = f"did you mean {near[0]!r}?" if near else "no address in the watch table has it"
                raise ConfigError(f"rule {rule.name}: label {label!r} is not watched; {hint}")
            number = known[label]
            bitmap[number // 8] |= 1 << number % 8
        return bytes(bitmap)

    def add_rule(self, rule):
        """Adds a Rule. Its templates are compiled, and their signature checked against the standard library's, here."""
        cdef hft_rule_config config
        cdef hft_err err
        cdef OrderTemplate order, query
        cdef bytes bitmap
        self._require_new()
        if not isinstance(rule, Rule):
            raise TypeError(f"Rule expected, not {type(rule).__name__}")
        names = [venue.name for venue, _, _ in self._venues]
        if rule.venue not in names:
            raise ConfigError(f"rule {rule.name}: venue {rule.venue!r} was not added; there are: {', '.join(names)}")
        if any(known.name == rule.name for known in self._rules):
            raise ConfigError(f"rule {rule.name}: the name is taken")
        index = names.index(rule.venue)
        venue, _, credentials = self._venues[index]
        credentials = credentials or PLACEHOLDER
        order = venue.order_template(rule.order, credentials)
        query = venue.query_template(rule.order, credentials)
        sample = {"client_id": "h00-0123456789abcdef01234567", "timestamp": time.time_ns()}
        self_test(order, credentials, {**sample, "quantity": rule.order.quantity})
        self_test(query, credentials, sample)
        memset(&config, 0, sizeof(config))
        memset(&err, 0, sizeof(err))
        config.venue = index
        config.order = &order.t
        config.query = &query.t
        config.quantity = rule.order.quantity_scaled(venue.quantity_scale)
        config.notional = rule.order.notional_scaled
        config.min_sat = rule.min_sat
        config.internal = rule.internal
        config.certain_only = rule.certain_only
        config.min_peers = rule.min_peers
        config.cooldown_ns = rule.cooldown_ms * MS
        if rule.presign:
            if not venue.presign_window_ms:
                raise ConfigError(f"rule {rule.name}: orders for {venue.name} cannot be signed ahead: no presign")
            config.presign_window_ns = venue.presign_window_ms * MS
        bitmap = self._label_bitmap(rule, self._watch)
        if bitmap is not None:
            config.labels = <const uint8_t *>PyBytes_AS_STRING(bitmap)
            config.n_labels = len(self._watch.label_names)
        check_err(hft_engine_add_rule(self._engine, &config, &err), &err, f"rule {rule.name}")
        self._rules.append(rule)

    def replace_watch(self, WatchTable watch not None):
        """Hands another watch table to the running engine; it is frozen from here on.

        The table is made ready here, in the calling thread (see WatchTable.load); the reactor takes it between two
        messages, without a pause, and a WatchEvent tells from where on it is in use: each transaction is looked up in
        one of the two, whole. The earlier table is given back when that event is read. The labels of the rules are
        looked up by name: where one is missing, ConfigError is raised and the earlier table stays in use. May be called
        by any thread. Raises ConfigError also if the engine does not run, or for a table of another network; see also
        WatchTable.load.
        """
        cdef const uint8_t *labels[HFT_ENGINE_RULES_MAX]
        cdef int i
        self.check_process()
        if not self.running:
            raise ConfigError("the engine does not run: give the table to a new one")
        watch.hand_over(self._settings["network"].name)
        bitmaps = [self._label_bitmap(rule, watch) for rule in self._rules]
        for i in range(len(bitmaps)):
            labels[i] = <const uint8_t *>PyBytes_AS_STRING(bitmaps[i]) if bitmaps[i] is not None else NULL
        with self._put_lock:
            if self._engine == NULL or not self.running:
                raise ConfigError("the engine has stopped")
            self._n_tables += 1
            self._reader.use(self._n_tables, watch)  # first: the event may come at once
            check(hft_engine_put_watch(self._engine, &watch.watch, labels, len(watch.label_names)))

    # ---- life ----

    def start(self):
        """Takes all memory, starts the reactor thread and begins to connect. Raises what kept it from starting."""
        self._require_new()
        if self._manager is not None:
            self._add_managed()
        if not self._peers and not self._venues:
            raise ConfigError("nothing to do: add a peer or a venue first")
        _fork.watch(self)
        thread = threading.Thread(target=self._reactor, name="hft-reactor", daemon=True)
        thread.start()
        self._thread = thread
        self._started.wait()
        if self._failure is not None:
            self._thread.join()
            failure, self._failure = self._failure, None
            hft_engine_free(self._engine)
            self._engine = NULL
            raise failure
        atexit.register(self.stop)  # the reactor must not outlive OpenSSL, which ends with the process
        resolver = Resolver(hft_engine_resolve_fd(self._engine), self._finished, self._next_slot, self._endpoint_of,
                            self._resolved)
        try:
            resolver.start()
        except RuntimeError:  # no more threads
            self.stop()
            raise
        self._resolver = resolver
        if self._manager is not None:
            self._manager.start()

    def _reactor(self):
        """The reactor thread: everything in it happens without the GIL."""
        cdef hft_err err
        cdef int rc
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())  # they are for the threads that run Python
        memset(&err, 0, sizeof(err))
        with nogil:
            rc = hft_engine_open(self._engine, &err)
        if rc < 0:
            self._failure = make_error(rc, err.text.decode("utf-8", "replace"), None)
            self._finished.set()
            self._started.set()
            return
        self._started.set()
        with nogil:
            rc = hft_engine_run(self._engine)
        if rc < 0:
            self._failure = make_error(rc, "reactor", None)
        self._finished.set()
        os.eventfd_write(hft_engine_event_fd(self._engine), 1)
        os.eventfd_write(hft_engine_resolve_fd(self._engine), 1)

    def _next_slot(self):
        """The next slot whose host the reactor wants resolved, or None."""
        slot = hft_engine_next_resolve(self._engine)
        return slot if slot >= 0 else None

    def _endpoint_of(self, slot):
        if slot < HFT_ENGINE_PEERS_MAX:
            if self._peers[slot][0] is None:  # the manager chooses, and answers in its own time
                self._manager.want(slot)
                return None
            return self._peers[slot]
        endpoint = self._venues[slot - HFT_ENGINE_PEERS_MAX][1]
        return endpoint.host, endpoint.port

    def _resolved(self, slot, found):
        if self._manager is not None:
            found = [(*address[:4], self._manager.groups.of(socket.inet_ntop(*address[:2]))) for address in found]
        with self._put_lock:
            self._put_addresses(slot, found)

    cdef int _put_addresses(self, unsigned int slot, list found) except -1:
        cdef hft_engine_addresses command
        if self._engine == NULL or self._finished.is_set():
            return 0
        memset(&command, 0, sizeof(command))
        command.slot = slot
        command.error = 0 if found else HFT_E_CONN_RESOLVE
        fill_addresses(&command, found)
        # A full queue is as if the name had not been resolved: the reactor asks again after its time-out.
        hft_engine_put_addresses(self._engine, &command)
        return 0

    # ---- for hftcore.peers.PeerManager ----

    def manage(self, manager):
        """Lets a hftcore.peers.PeerManager find, judge and replace peers, beside those that add_peer names.

        It gets as many connections as its target leaves, and listens if told to. Raises ConfigError.
        """
        self._require_new()
        if self._manager is not None:
            raise ConfigError("one PeerManager for each engine")
        manager.attach(self, self._settings["network"])
        self._manager = manager

    def _add_managed(self):
        """The slots of the manager, and what dials in; before the start."""
        cdef hft_peer_role role
        outbound, inbound = self._manager.outbound(len(self._peers)), self._manager.max_inbound
        if len(self._peers) + outbound + inbound > HFT_ENGINE_PEERS_MAX:
            raise ConfigError(f"at most {HFT_ENGINE_PEERS_MAX} peers in all, those that dial in included")
        listener = self._manager.open_listener()
        for role, n in ((HFT_ROLE_MANAGED, outbound), (HFT_ROLE_INBOUND, inbound)):
            check(hft_engine_add_slots(self._engine, role, n))
            self._peers += [(None, 0)] * n
        if listener is not None:
            hft_engine_listen(self._engine, listener.detach())

    def _connect_peer(self, slot, address, group):
        """Answers the reactor's question whom to dial: (family, packed, scope, port), and its network group."""
        with self._put_lock:
            self._put_addresses(slot, [(*address, group)])

    def _leave_peer(self, unsigned int slot, unsigned int session):
        """Ends that session, if it still goes on."""
        cdef hft_engine_addresses command
        memset(&command, 0, sizeof(command))
        command.slot = slot
        command.leave = 1
        command.serial = session
        with self._put_lock:
            if self._engine != NULL and not self._finished.is_set():
                hft_engine_put_addresses(self._engine, &command)

    def _take_nodes(self, limit=1000):
        """Addresses that peers told since the last call: (family, packed, port, services, time, peer)."""
        cdef hft_engine_node node
        found = []
        with self._put_lock:
            while len(found) < limit and self._engine != NULL and hft_engine_take_node(self._engine, &node) == 1:
                found.append(read_node(&node))
        return found

    def peers(self):
        """A hftcore.peers.PeerInfo for each peer, as of at most 100 ms ago; kept after stop()."""
        cdef hft_engine_peer_info info
        cdef unsigned int i
        self.check_process()
        if self._final_peers is not None:
            return self._final_peers
        found = []
        for i in range(<unsigned int>len(self._peers)):
            if self._engine == NULL:  # stopped by another thread meanwhile
                return self._final_peers or []
            hft_engine_read_peer(self._engine, i, &info)
            found.append(peer_info(i, &info, self._peers[i]))
        return found

    def stop(self, timeout_s=2.0):
        """Ends cleanly: answers to orders are awaited for half of timeout_s, close frames sent, sockets closed.

        Events not yet read stay readable, and so do stats() and latency(). Idempotent. Raises what ended the reactor
        early, if something did. A running engine that nobody refers to any more runs on; it is stopped when the program
        ends.
        """
        if self._engine == NULL:
            return
        if self._manager is not None:
            self._manager.stop()
        if self._thread is not None:
            hft_engine_stop(self._engine, max(1, int(timeout_s * 1e9)))
            self._thread.join()
            if self._resolver is not None:  # None: start() was interrupted
                self._resolver.join()
        self._finished.set()
        atexit.unregister(self.stop)
        for loop, future in list(self._waiters):
            try:
                loop.call_soon_threadsafe(lambda waiter=future: waiter.done() or waiter.set_result(None))
            except RuntimeError:
                pass  # that loop is closed: nobody waits there any more
        with self._lock, self._put_lock:
            if self._engine == NULL:  # another thread was faster
                return
            while (event := self._take()) is not None:
                self._backlog.append(event)
            self._final_backend = self.backend
            self._final_latency = self.latency()
            self._final_peers = self.peers()
            hft_engine_release(self._engine)
            self._final_stats = self.stats()
            hft_engine_free(self._engine)
            self._engine = NULL
        self._tls.clear()
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure

    def __enter__(self):
        if self._thread is None:
            self.start()
        return self

    def __exit__(self, *exc_info):
        self.stop()

    def kill(self, on=True):
        """The kill switch: while it is on, no order leaves; each is refused with an event that says so."""
        self.check_process()
        if self._engine != NULL:
            hft_engine_kill(self._engine, bool(on))

    @property
    def running(self):
        """Whether the reactor thread runs."""
        return self._thread is not None and self._started.is_set() and not self._finished.is_set()

    @property
    def backend(self):
        """"io_uring" or "epoll": what the reactor uses; None before the start."""
        if self._engine == NULL:
            return self._final_backend
        backend = hft_engine_backend(self._engine)
        return {HFT_RING_URING: "io_uring", HFT_RING_EPOLL: "epoll"}.get(backend)

    # ---- events ----

    def _note_link(self, link, event):
        """Remembers which links are ready, and why others are not."""
        if event.state == "ready":
            self._ready.add(link)
            self._errors.pop(link, None)
        else:
            self._ready.discard(link)
        if event.error is not None:
            self._errors[link] = event.error

    cdef object _take(self):
        """The next event of the C queue, or None."""
        cdef hft_event copy
        cdef const hft_event *c
        if self._engine == NULL:
            return None
        c = hft_engine_peek_event(self._engine)
        if c == NULL:
            return None
        memcpy(&copy, c, sizeof(copy))
        event = self._reader.read(&copy)  # runs Python: Ctrl-C here must not lose the fate of an order
        if copy.kind == HFT_EVENT_PEER or copy.kind == HFT_EVENT_VENUE:
            self._note_link(("peer", copy.peer) if copy.kind == HFT_EVENT_PEER else ("venue", copy.venue), event)
        if self._engine == NULL:  # nor a handler's stop() tell it twice: it has put it into the backlog
            return None
        hft_engine_release_event(self._engine)
        if copy.kind == HFT_EVENT_WATCH:
            with self._put_lock:
                hft_engine_release_watches(self._engine, copy.watch)
            self._watch = self._reader.watch
        return event

    def _poll(self, deadline):
        """The next event from the reactor, or None at the deadline (None = none) or when it is over."""
        poll = None
        while True:
            over = self._finished.is_set()  # first: a signal's handler may stop the engine in any Python code
            event = self._take()
            if event is not None or self._engine == NULL:
                return event
            hft_engine_expect(self._engine)
            event = self._take()
            if event is not None or over:
                return event
            left_ms = None if deadline is None else (deadline - time.monotonic()) * 1000
            if left_ms is not None and left_ms <= 0:
                return None
            if poll is None:
                poll = select.poll()
                poll.register(hft_engine_event_fd(self._engine), select.POLLIN)
            if poll.poll(SIGNAL_MS if left_ms is None else min(left_ms, SIGNAL_MS)):
                self._clear_wake()

    def _clear_wake(self):
        if self._engine == NULL:
            return
        try:
            os.eventfd_read(hft_engine_event_fd(self._engine))
        except BlockingIOError:
            pass

    def next_event(self, timeout_s=None):
        """The next event; None after timeout_s seconds (None = waits), or once all is read of a stopped engine."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        self.check_process()
        with self._lock:
            if self._backlog:
                return self._backlog.popleft()
            event = self._poll(deadline)
            if event is None and self._backlog:  # stopped meanwhile by a signal's handler
                return self._backlog.popleft()
            return event

    def __iter__(self):
        return self

    def __next__(self):
        event = self.next_event()
        if event is None:
            raise StopIteration
        return event

    def __aiter__(self):
        return self

    async def __anext__(self):
        loop = asyncio.get_running_loop()
        while True:
            over = self._finished.is_set()  # first: the last events come before it is set
            event = self.next_event(0)
            if event is not None:
                return event
            if self._engine == NULL or over:
                raise StopAsyncIteration
            await self._woken(loop)

    async def _woken(self, loop):
        """Waits until the reactor signals an event, or the end."""
        fd = os.dup(hft_engine_event_fd(self._engine))  # our own: stop() closes the engine's while the loop watches
        future = loop.create_future()
        waiter = (loop, future)
        loop.add_reader(fd, lambda: future.done() or future.set_result(None))
        self._waiters.add(waiter)
        try:
            await future
        finally:
            self._waiters.discard(waiter)
            loop.remove_reader(fd)
            os.close(fd)
            self._clear_wake()

    def wait_ready(self, timeout_s=10.0, *, peers=None):
        """Returns once all venues, and `peers` Bitcoin peers (default: all), are ready.

        Raises at once what time cannot mend (TLSError, VenueError: a login refused), and at the end of timeout_s the
        last error of what is not ready, or ConnectionLost. Events that pass meanwhile are not lost.
        """
        self.check_process()
        if peers is None:
            peers = sum(host is not None for host, _ in self._peers) or int(self._manager is not None)
        wanted_peers = peers
        if self._thread is None:
            raise ConfigError("start() first")
        deadline = time.monotonic() + timeout_s
        with self._lock:
            while True:
                ready_peers = sum(kind == "peer" for kind, _ in self._ready)
                if ready_peers >= wanted_peers and len(self._ready) - ready_peers == len(self._venues):
                    return
                for link, error in self._errors.items():
                    if link not in self._ready and isinstance(error, (TLSError, VenueError)) \
                            and error.name != "HFT_E_TLS_TRUNCATED":
                        raise error
                event = self._poll(deadline)
                if event is None:
                    break
                self._backlog.append(event)
            if self._failure is not None:
                raise self._failure
        for link, error in self._errors.items():
            if link not in self._ready:
                raise error
        raise ConnectionLost(f"not ready within {timeout_s} s: {ready_peers} of {wanted_peers} peers, "
                             f"{len(self._ready) - ready_peers} of {len(self._venues)} venues")

    # ---- figures ----

    def stats(self):
        """EngineStats: counters since the start; kept after stop()."""
        cdef hft_engine_stats c
        self.check_process()
        if self._final_stats is not None:
            return self._final_stats
        if self._engine == NULL:
            return EngineStats()
        hft_engine_read_stats(self._engine, &c)
        return EngineStats(**c)

    def latency(self):
        """Latency by stage (hftcore.events.STAGES), "total" (received to submitted) and "reply" (to acknowledged)."""
        cdef hft_hist hist
        cdef int i
        self.check_process()
        if self._final_latency is not None:
            return self._final_latency
        result = {}
        for i, name in enumerate((*STAGES, "total", "reply")):
            if self._engine == NULL:  # never started, or stopped by another thread meanwhile
                return self._final_latency or {}
            hft_engine_read_latency(self._engine, i, &hist)
            result[name] = Latency(
                hist.count, hist.min if hist.count else 0, hist.sum // hist.count if hist.count else 0,
                *[hft_hist_percentile(&hist, share) for share in (500000, 900000, 990000, 999000)], hist.max)
        return result


assert HFT_LATENCIES == len(STAGES) + 2
init_core()
