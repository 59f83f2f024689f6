# The Elixir baselines: `elixir baseline.exs WHAT MILLISECONDS REPETITIONS` prints one number.

defmodule Counter do
  use GenServer
  def start_link(n), do: GenServer.start_link(__MODULE__, n)
  def init(n), do: {:ok, n}
  def handle_call(:next, _from, n), do: {:reply, n + 1, n + 1}
  def handle_cast(:next, n), do: {:noreply, n + 1}
end

defmodule Relay do
  use GenServer
  def init(second), do: {:ok, second}
  def handle_call(:next, _from, second), do: {:reply, GenServer.call(second, :next), second}
end

defmodule Bench do
  def seconds(batch, size) do
    {micros, _} = :timer.tc(fn -> batch.(size) end)
    max(micros, 1) / 1.0e6
  end

  def grow(batch, size, wanted) do
    took = seconds(batch, size)
    if took >= wanted / 4,
      do: max(1, trunc(size * wanted / took)),
      else: grow(batch, size * 2, wanted)
  end

  def median(values), do: values |> Enum.sort() |> Enum.at(div(length(values), 2))

  def rate(batch, millis, repetitions) do
    size = grow(batch, 1000, millis / 1000)
    median(for _ <- 1..repetitions, do: size / seconds(batch, size))
  end

  def repeat(0, _), do: :ok

  def repeat(n, f) do
    f.()
    repeat(n - 1, f)
  end

  def measure("call", millis, repetitions) do
    {:ok, pid} = Counter.start_link(0)
    rate(fn n -> repeat(n, fn -> GenServer.call(pid, :next) end) end, millis, repetitions)
  end

  def measure("relay", millis, repetitions) do
    {:ok, second} = Counter.start_link(0)
    {:ok, pid} = GenServer.start_link(Relay, second)
    rate(fn n -> repeat(n, fn -> GenServer.call(pid, :next) end) end, millis, repetitions)
  end

  def measure("cast", millis, repetitions) do
    {:ok, pid} = Counter.start_link(0)

    batch = fn n ->
      repeat(max(1, div(n, 1000)), fn ->
        repeat(1000, fn -> GenServer.cast(pid, :next) end)
        GenServer.call(pid, :next)
      end)
    end

    rate(batch, millis, repetitions)
  end

  def measure("start_child", _millis, repetitions) do
    size = 10_000

    median(
      for _ <- 1..repetitions do
        {:ok, supervisor} = DynamicSupervisor.start_link(strategy: :one_for_one)
        start = fn -> {:ok, _} = DynamicSupervisor.start_child(supervisor, {Counter, 1}) end
        result = size / seconds(fn n -> repeat(n, start) end, size)
        DynamicSupervisor.stop(supervisor)
        result
      end
    )
  end

  def measure("lookup", millis, repetitions) do
    {:ok, _} = Registry.start_link(keys: :unique, name: Bench.Registry)
    for n <- 0..999, do: {:ok, _} = Registry.register(Bench.Registry, n, nil)
    rate(fn n -> repeat(n, fn -> Registry.lookup(Bench.Registry, 500) end) end, millis, repetitions)
  end

  def measure("memory", _millis, _repetitions) do
    size = 100_000
    {:ok, supervisor} = DynamicSupervisor.start_link(strategy: :one_for_one)
    before = :erlang.memory(:total)
    repeat(size, fn -> {:ok, _} = DynamicSupervisor.start_child(supervisor, {Counter, 1}) end)
    (:erlang.memory(:total) - before) / size
  end
end

[what, millis, repetitions] = System.argv()
IO.puts(Bench.measure(what, String.to_integer(millis), String.to_integer(repetitions)) / 1)
