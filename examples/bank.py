"""Typed calls: ``call(account, Deposit(5))`` is known to reply an ``int``.

    python examples/bank.py
"""

from dataclasses import dataclass

import foundation
from foundation.otp import Call, Caller, ChildSpec, GenServer, Stop, Supervisor, call


@dataclass(frozen=True)
class Deposit(Call[int]):
    amount: int


@dataclass(frozen=True)
class Withdraw(Call[bool]):
    amount: int


@dataclass(frozen=True)
class Close(Call[str]):
    pass


class Account(GenServer):
    def init(self, opening: int = 0) -> None:
        self.balance = opening

    def handle_call(self, request: object, caller: Caller) -> object:
        match request:
            case Deposit(amount):
                self.balance += amount
                return self.balance
            case Withdraw(amount) if amount > self.balance:
                return False
            case Withdraw(amount):
                self.balance -= amount
                return True
            case Close():
                return Stop("normal", reply="bye")
        return super().handle_call(request, caller)


class Bank(Supervisor):
    strategy = "one_for_one"

    def init(self) -> list[ChildSpec]:
        return [Account.spec(100, name="ann"), Account.spec(name="bob", restart="transient")]


async def transfer(source: str, target: str, amount: int) -> bool:
    """Runs as a process of this program, so it may use all of ``foundation.otp``."""
    if not await call(source, Withdraw(amount)):
        return False
    await call(target, Deposit(amount))
    return True


def main() -> None:
    with foundation.start(Bank) as node:
        print(node.call("ann", Deposit(5)))  # 105
        print(node.run(transfer, "ann", "bob", 50))  # True
        print(node.run(transfer, "ann", "bob", 500))  # False
        print(node.call("bob", Deposit(0)))  # 50
        print(node.call("bob", Close()))  # bye, and as it is transient it stays closed


if __name__ == "__main__":
    main()
