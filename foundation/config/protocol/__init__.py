"""The protocol by which nodes agree on cluster-wide values: a state machine without I/O.

Each path is a register of CASPaxos (Rystsov, "CASPaxos: Replicated State Machines without logs",
2018): single-decree Paxos whose value may be changed, one *record* after another. Any member
proposes; a majority accepts; there is no leader and no log. Who the members are is a
*configuration*, which a majority of its members replaces by the next one (as in Lamport, Malkhi
and Zhou, "Reconfiguring a State Machine", 2010): they agree on the successor, are *sealed*, and
what a sealed majority has accepted is what the successor begins with.

Values live in memory, and a member that has lost its memory is no member any more: members are
*lives* of servers (pids), never names. A restarted server is a stranger that takes part once a
configuration includes it, with the state of a majority. So a promise is never forgotten by
somebody who is counted for it, which is where Paxos without disks usually goes wrong (Michael
et al., "Recovering Shared Objects Without Stable Storage", 2017). What was *decided* a new life may
know from its host: that stays true whoever says it.

``values.py``   what is said: ballots, records, configurations
``acceptor.py`` what a member has promised and accepted
``rounds.py``   what a node that was asked to read or write does
``peers.py``    who is there, and who of them can decide
``moving.py``   from one configuration to the next
``machine.py``  all of it, driven by events
"""
