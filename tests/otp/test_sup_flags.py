"""SUP-07: where the flags of a supervisor come from."""

from __future__ import annotations

import pytest

from foundation.errors import StartError
from foundation.kernel.ops import exit
from foundation.kernel.values import Pid
from foundation.otp.gen_server import GenServer
from foundation.otp.supervisor import Supervisor
from tests.otp.supkit import pids, until


class Plain(GenServer):
    pass


class Chosen(Supervisor):
    def init(self, strategy):
        self.strategy = strategy
        self.note = "not a flag"
        return [Plain.spec(id="a"), Plain.spec(id="b")]


def test_sup_07_a_flag_set_in_init_counts(run):
    async def body():
        sup = await Chosen.start_link("one_for_all")
        before = await pids(sup)
        exit(before["a"], "boom")

        async def all_new():
            now = await pids(sup)
            return all(isinstance(now[k], Pid) and now[k] != before[k] for k in "ab")

        await until(all_new)
        with pytest.raises(StartError, match="one_for_none"):
            await Chosen.start("one_for_none")

    run(body)
