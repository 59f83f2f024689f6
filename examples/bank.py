"""Typed calls: the type checker knows what a call replies.

    python examples/bank.py
"""

from dataclasses import dataclass

import foundation
from foundation.otp import Call, GenServer, Stop, Supervisor, call


@dataclass(frozen=True)
class Deposit(Call[int]):
    amount: int


@dataclass(frozen=True)
class Withdraw(Call[bool]):
    amount: int


class Account(GenServer):
    def init(self, opening: int = 0) -> None:
        self.balance = opening

    def handle_call(self, request: object, caller: object) -> object:
        match request:
            case Deposit(amount):
                self.balance += amount
                return self.balance
            case Withdraw(amount):
                if amount > self.balance:
                    return False
                self.balance -= amount
                return True
            case "close":
                return Stop("normal", reply="bye")
        return super().handle_call(request, caller)


class Bank(Supervisor):
    strategy = "one_for_one"

    def init(self) -> list[object]:
        return [Account.spec(100, name="ann"), Account.spec(name="bob", restart="transient")]


async def transfer(source: str, target: str, amount: int) -> bool:
    """Runs as a process, so it may use everything of foundation.otp."""
    if not await call(source, Withdraw(amount)):
        return False
    await call(target, Deposit(amount))
    return True


if __name__ == "__main__":
    with foundation.start(Bank) as node:
        print(node.call("ann", Deposit(5)))  # 105
        print(node.run(transfer, "ann", "bob", 50))  # True
        print(node.run(transfer, "ann", "bob", 500))  # False
        print(node.call("bob", Deposit(0)))  # 50
        print(node.call("bob", "close"))  # bye
