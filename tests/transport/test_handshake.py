"""The handshake as a state machine, honest and attacked."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foundation.transport import wire
from foundation.transport.handshake import MAX_PAYLOAD, Handshake, HandshakeError, WrongCookie

COOKIE = b"a" * 32


def exchange(dialler: Handshake, listener: Handshake) -> None:
    response = listener.feed(dialler.start())
    assert response is not None
    proof = dialler.feed(response)
    assert proof is not None
    assert listener.feed(proof) is None


def test_honest_peers_authenticate_each_other() -> None:
    dialler, listener = Handshake(COOKIE, dialler=True), Handshake(COOKIE, dialler=False)
    exchange(dialler, listener)
    assert dialler.done
    assert listener.done


def test_listener_with_another_cookie_is_refused_by_the_dialler() -> None:
    dialler, listener = Handshake(COOKIE, dialler=True), Handshake(b"b" * 32, dialler=False)
    with pytest.raises(WrongCookie):
        exchange(dialler, listener)
    assert not dialler.done
    assert not listener.done


def test_dialler_that_skips_its_check_is_refused_by_the_listener() -> None:
    listener = Handshake(COOKIE, dialler=False)
    listener.feed(Handshake(b"b" * 32, dialler=True).start())
    with pytest.raises(WrongCookie):
        listener.feed(b"\0" * 32)
    assert not listener.done


def test_echoing_the_listeners_own_proof_does_not_authenticate() -> None:
    listener = Handshake(COOKIE, dialler=False)
    response = listener.feed(Handshake(COOKIE, dialler=True).start())
    assert response is not None
    with pytest.raises(WrongCookie):
        listener.feed(response[32:])


def test_self_connect_is_a_protocol_error() -> None:
    dialler = Handshake(COOKIE, dialler=True)
    with pytest.raises(HandshakeError):
        dialler.feed(dialler.start())


def test_a_replayed_proof_does_not_authenticate() -> None:
    dialler, first = Handshake(COOKIE, dialler=True), Handshake(COOKIE, dialler=False)
    start = dialler.start()
    response = first.feed(start)
    assert response is not None
    proof = dialler.feed(response)
    assert proof is not None
    second = Handshake(COOKIE, dialler=False)
    second.feed(start)
    with pytest.raises(WrongCookie):
        second.feed(proof)


def test_every_step_fits_the_limit_before_authentication() -> None:
    dialler, listener = Handshake(COOKIE, dialler=True), Handshake(COOKIE, dialler=False)
    response = listener.feed(dialler.start()) or b""
    assert max(len(dialler.start()), len(response), len(dialler.feed(response) or b"")) <= (
        MAX_PAYLOAD
    )


mutation = st.tuples(
    st.integers(0, 2),  # which step
    st.sampled_from(["flip", "cut", "add", "replace", "repeat"]),
    st.integers(0, 10_000),
    st.binary(min_size=1, max_size=80),
)


def mutate(payload: bytes, how: str, where: int, data: bytes) -> bytes:
    if how == "flip":
        index = where % len(payload)
        changed = payload[index] ^ (data[0] or 1)
        return payload[:index] + bytes([changed]) + payload[index + 1 :]
    if how == "cut":
        return payload[: where % len(payload)]
    if how == "add":
        return payload + data
    if how == "replace":
        return data
    return payload + payload


@settings(max_examples=400, deadline=None)
@given(mutation)
def test_a_mutated_handshake_never_authenticates_the_victim(change: tuple) -> None:
    """Whichever byte of whichever step is changed, the receiver of it does not say done."""
    step, how, where, data = change
    dialler, listener = Handshake(COOKIE, dialler=True), Handshake(COOKIE, dialler=False)
    message, receiver, sender = dialler.start(), listener, dialler
    for number in range(3):
        if number == step:
            changed = mutate(message, how, where, data)
            if changed == message:
                return
            message = changed
        try:
            answer = receiver.feed(message)
        except HandshakeError:
            assert not receiver.done
            return
        if number >= step and receiver is listener and step == 2:
            pytest.fail("a changed proof was accepted")
        receiver, sender = sender, receiver
        message = answer or b""
        if not answer:
            break
    assert not listener.done


@settings(max_examples=300, deadline=None)
@given(st.lists(st.binary(max_size=200), max_size=6), st.booleans())
def test_arbitrary_payloads_never_authenticate(payloads: list[bytes], dialler: bool) -> None:
    victim = Handshake(COOKIE, dialler=dialler)
    for payload in payloads:
        try:
            victim.feed(payload)
        except HandshakeError:
            break
    assert not victim.done


frames = st.lists(
    st.tuples(st.integers(0, wire.LAST_KIND), st.integers(0, 2**32 - 1), st.binary(max_size=300)),
    max_size=20,
)


@settings(max_examples=200, deadline=None)
@given(frames, st.lists(st.integers(1, 40), max_size=60))
def test_frames_survive_any_fragmentation(sent: list, cuts: list[int]) -> None:
    stream = b"".join(wire.frame(kind, payload, acked) for kind, acked, payload in sent)
    decoder, received = wire.Decoder(1000), []
    for cut in cuts:
        received += decoder.feed(stream[:cut])
        stream = stream[cut:]
    received += decoder.feed(stream)
    assert received == sent


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=2000))
def test_random_bytes_yield_bounded_frames_or_an_error(data: bytes) -> None:
    decoder = wire.Decoder(MAX_PAYLOAD)
    try:
        decoded = decoder.feed(data)
    except wire.WireError:
        return
    assert all(len(payload) <= MAX_PAYLOAD for _kind, _acked, payload in decoded)


def test_oversize_header_is_an_error_before_its_payload_arrives() -> None:
    decoder = wire.Decoder(MAX_PAYLOAD)
    with pytest.raises(wire.WireError):
        decoder.feed(wire.pack_header(2**31, 0, wire.AUTH))


def test_one_frame_at_a_time_keeps_the_rest() -> None:
    decoder = wire.Decoder(1000)
    stream = wire.frame(wire.AUTH, b"a") + wire.frame(wire.HELLO, pickle.dumps(1))
    assert decoder.feed(stream, at_most=1) == [(wire.AUTH, 0, b"a")]
    assert decoder.feed(b"", at_most=1) == [(wire.HELLO, 0, pickle.dumps(1))]
    assert decoder.feed(b"", at_most=1) == []
