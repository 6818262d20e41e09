"""A broker whose consumer groups work: the embedded one for data, with a group coordinator in front of it.

noida-db never evicts a dead member and leaves a member that is alone without partitions. So clients talk to this proxy:
requests about groups are answered here, all others are passed on, with the proxy's address put in place of the
broker's. A group is a short version of Kafka's: members join until all that are known have, or the rebalance timeout
is over; the first one deals the partitions out; a member that is silent for its session timeout is evicted; one with an
instance id keeps its place when it comes back.
"""

from __future__ import annotations

import asyncio
import struct
import threading
import time
import uuid
import warnings
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # the library's own, at import
    from kafka.protocol.consumer import (
        HeartbeatRequest,
        HeartbeatResponse,
        JoinGroupRequest,
        JoinGroupResponse,
        LeaveGroupRequest,
        LeaveGroupResponse,
        OffsetCommitRequest,
        OffsetCommitResponse,
        SyncGroupRequest,
        SyncGroupResponse,
    )
    from kafka.protocol.metadata import FindCoordinatorResponse, MetadataResponse

GATHER_S = 0.3
"""How long a group of nobody waits for more than its first member."""

LONGEST_REBALANCE_S = 3.0

FETCH, SHORT_FETCH, EMPTY_FETCH_S = 1, 600, 0.05
"""The broker answers a fetch of nothing at once, whatever wait is asked for; here it takes a moment."""

ILLEGAL_GENERATION, UNKNOWN_MEMBER, REBALANCING, FENCED = 22, 25, 27, 82


@dataclass
class Member:
    """One member, as the coordinator knows it."""

    id: str
    instance_id: str | None
    session_s: float
    protocols: dict[str, bytes]
    seen_at: float = field(default_factory=time.monotonic)
    joined: asyncio.Future[int] | None = None
    synced: asyncio.Future[None] | None = None
    assignment: bytes = b""


@dataclass
class Group:
    """One group; `state` is empty, joining, syncing or stable."""

    members: dict[str, Member] = field(default_factory=dict)
    generation: int = 0
    state: str = "empty"
    protocol: str = ""
    leader: str = ""
    deadline: float = 0.0
    rebalances: int = 0
    committed: dict[tuple[str, int], int] = field(default_factory=dict)

    def rebalance(self) -> None:
        """Let all members join anew."""
        now = time.monotonic()
        if self.state != "joining":
            self.deadline = now + (GATHER_S if self.state == "empty" else LONGEST_REBALANCE_S)
            self.rebalances += 1
            for member in self.members.values():
                if member.synced is not None and not member.synced.done():
                    member.synced.set_result(None)
                member.synced = None
            self.state = "joining"

    def remove(self, member_id: str) -> None:
        """Let a member go."""
        member = self.members.pop(member_id, None)
        if member is None:
            return
        for waiting in (member.joined, member.synced):
            if waiting is not None and not waiting.done():
                waiting.cancel()
        if self.members:
            self.rebalance()
        else:
            self.state = "empty"

    def look(self) -> None:
        """Evict the silent, and end a join that is complete or overdue."""
        now = time.monotonic()
        for member in list(self.members.values()):
            waiting = member.joined is not None and not member.joined.done()
            if not waiting and now - member.seen_at > member.session_s:
                self.remove(member.id)
        if self.state != "joining":
            return
        joined = [one for one in self.members.values() if one.joined is not None and not one.joined.done()]
        complete = len(joined) == len(self.members) and (self.generation or now >= self.deadline)
        if not joined or not (complete or now >= self.deadline):
            return
        for member in set(self.members) - {one.id for one in joined}:
            del self.members[member]
        self.generation += 1
        self.state, self.leader = "syncing", joined[0].id
        self.protocol = next(name for name in joined[0].protocols)
        for one in joined:
            one.seen_at, one.synced = now, None
            assert one.joined is not None
            one.joined.set_result(self.generation)


class GroupBroker:
    """The proxy.

    Args:
        upstream: host:port of the broker that has the data.
        port: where to listen on 127.0.0.1.
    """

    def __init__(self, upstream: str, port: int) -> None:
        host, _, upstream_port = upstream.rpartition(":")
        self._upstream = host, int(upstream_port)
        self.port = port
        self.groups: dict[str, Group] = {}
        self._answer = {
            JoinGroupRequest.API_KEY: (JoinGroupRequest, self._join),
            SyncGroupRequest.API_KEY: (SyncGroupRequest, self._sync),
            HeartbeatRequest.API_KEY: (HeartbeatRequest, self._heartbeat),
            LeaveGroupRequest.API_KEY: (LeaveGroupRequest, self._leave),
            OffsetCommitRequest.API_KEY: (OffsetCommitRequest, self._commit),
        }

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def run(self, ready: threading.Event, stop: asyncio.Event) -> None:
        server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, limit=1 << 26)
        ready.set()
        async with server:
            while not stop.is_set():
                for group in self.groups.values():
                    group.look()
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), 0.02)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_writer = None
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            up_reader, up_writer = await asyncio.open_connection(*self._upstream, limit=1 << 26)
            while True:
                frame = await _frame(reader)
                key, version, correlation = struct.unpack_from(">hhi", frame)
                if key in self._answer:
                    kind, handle = self._answer[key]
                    response = await handle(kind.decode(frame, version=version, header=True), version)
                    answer = _encoded(response, version, correlation)
                else:
                    up_writer.write(struct.pack(">i", len(frame)) + frame)
                    answer = self._rewritten(key, version, await _frame(up_reader))
                    if key == FETCH and len(answer) < SHORT_FETCH:
                        await asyncio.sleep(EMPTY_FETCH_S)
                writer.write(struct.pack(">i", len(answer)) + answer)
                await writer.drain()
        for end in (writer, up_writer):
            if end is not None:
                end.close()

    def _rewritten(self, key: int, version: int, frame: bytes) -> bytes:
        """The broker's answer, with this proxy in the broker's place."""
        kind = {
            MetadataResponse.API_KEY: MetadataResponse,
            FindCoordinatorResponse.API_KEY: FindCoordinatorResponse,
        }
        if key not in kind:
            return frame
        response = kind[key].decode(frame, version=version, header=True)
        places = (
            response.brokers
            if key == MetadataResponse.API_KEY
            else (getattr(response, "coordinators", None) or [response])
        )
        for place in places:
            place.host, place.port = "127.0.0.1", self.port
        return _encoded(response, version, *struct.unpack_from(">i", frame))

    # ---- the group's requests

    async def _join(self, request: Any, version: int) -> Any:
        group = self.groups.setdefault(request.group_id, Group())
        instance = request.group_instance_id or None
        known = next(
            (one for one in group.members.values() if instance and one.instance_id == instance), None
        )
        if known is not None and not request.member_id:
            del group.members[known.id]  # it came back; its older self is fenced
        elif request.member_id and request.member_id not in group.members:
            return JoinGroupResponse(version=version, error_code=UNKNOWN_MEMBER, **_NOBODY)
        id_ = request.member_id or f"{instance or 'member'}-{uuid.uuid4().hex[:8]}"
        member = group.members.setdefault(id_, Member(id_, instance, request.session_timeout_ms / 1000, {}))
        protocols = {one.name: bytes(one.metadata) for one in request.protocols}
        member.seen_at = time.monotonic()
        as_before = member.protocols == protocols and group.state in ("syncing", "stable")
        if not (as_before and (group.state == "syncing" or id_ != group.leader)):
            member.protocols = protocols
            member.joined = asyncio.get_running_loop().create_future()
            group.rebalance()
            try:
                await member.joined
            except asyncio.CancelledError:
                return JoinGroupResponse(version=version, error_code=UNKNOWN_MEMBER, **_NOBODY)
        members = [
            JoinGroupResponse.JoinGroupResponseMember(
                member_id=one.id, group_instance_id=one.instance_id, metadata=one.protocols[group.protocol]
            )
            for one in group.members.values()
            if id_ == group.leader
        ]
        return JoinGroupResponse(
            version=version,
            error_code=0,
            generation_id=group.generation,
            protocol_type="consumer",
            protocol_name=group.protocol,
            leader=group.leader,
            member_id=id_,
            members=members,
        )

    async def _sync(self, request: Any, version: int) -> Any:
        group = self.groups.setdefault(request.group_id, Group())
        if error := self._fault(group, request):
            return SyncGroupResponse(version=version, error_code=error, assignment=b"")
        member = group.members[request.member_id]
        for one in request.assignments:
            group.members[one.member_id].assignment = bytes(one.assignment)
        if request.assignments:
            group.state = "stable"
            for other in group.members.values():
                if other.synced is not None and not other.synced.done():
                    other.synced.set_result(None)
        elif group.state == "syncing":
            member.synced = asyncio.get_running_loop().create_future()
            with suppress(asyncio.CancelledError):
                await member.synced
        member.seen_at = time.monotonic()
        if group.state != "stable" or request.generation_id != group.generation:
            return SyncGroupResponse(version=version, error_code=REBALANCING, assignment=b"")
        return SyncGroupResponse(
            version=version,
            error_code=0,
            protocol_type="consumer",
            protocol_name=group.protocol,
            assignment=member.assignment,
        )

    async def _heartbeat(self, request: Any, version: int) -> Any:
        group = self.groups.setdefault(request.group_id, Group())
        error = self._fault(group, request)
        if not error:
            group.members[request.member_id].seen_at = time.monotonic()
            error = REBALANCING if group.state == "joining" else 0
        return HeartbeatResponse(version=version, error_code=error)

    async def _leave(self, request: Any, version: int) -> Any:
        group = self.groups.setdefault(request.group_id, Group())
        for id_ in [one.member_id for one in request.members or ()] or [request.member_id]:
            group.remove(id_)
        return LeaveGroupResponse(version=version, error_code=0, members=[])

    async def _commit(self, request: Any, version: int) -> Any:
        group = self.groups.setdefault(request.group_id, Group())
        error = self._fault(group, request) if request.member_id or group.members else 0
        topics = []
        for topic in request.topics:
            if not error:
                group.committed |= {
                    (topic.name, one.partition_index): one.committed_offset for one in topic.partitions
                }
            partitions = [
                OffsetCommitResponse.OffsetCommitResponseTopic.OffsetCommitResponsePartition(
                    partition_index=one.partition_index, error_code=error
                )
                for one in topic.partitions
            ]
            topics.append(
                OffsetCommitResponse.OffsetCommitResponseTopic(name=topic.name, partitions=partitions)
            )
        return OffsetCommitResponse(version=version, topics=topics)

    def _fault(self, group: Group, request: Any) -> int:
        if request.member_id not in group.members:
            return FENCED if getattr(request, "group_instance_id", None) else UNKNOWN_MEMBER
        generation = getattr(request, "generation_id", None)
        if generation is None:
            generation = request.generation_id_or_member_epoch
        return 0 if generation == group.generation else ILLEGAL_GENERATION


_NOBODY: dict[str, Any] = {
    "generation_id": -1,
    "protocol_type": "consumer",
    "protocol_name": "",
    "leader": "",
    "member_id": "",
    "members": [],
}


def _encoded(response: Any, version: int, correlation: int) -> bytes:
    response._header = None
    response.API_VERSION = version
    response.with_header(correlation_id=correlation)
    encoded: bytes = response.encode(header=True)
    return encoded


async def _frame(reader: asyncio.StreamReader) -> bytes:
    (size,) = struct.unpack(">i", await reader.readexactly(4))
    return await reader.readexactly(size)


@contextmanager
def grouped(upstream: str, port: int) -> Iterator[GroupBroker]:
    """A proxy in front of a broker, in a thread of its own."""
    broker, ready, loop, stop = (
        GroupBroker(upstream, port),
        threading.Event(),
        asyncio.new_event_loop(),
        asyncio.Event(),
    )

    def run(work: Coroutine[Any, Any, None]) -> None:
        loop.run_until_complete(work)
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0.05))
        loop.close()

    thread = threading.Thread(target=run, args=(broker.run(ready, stop),), daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield broker
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
