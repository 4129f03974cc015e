// SPDX-License-Identifier: BSD-3-Clause
// Copyright (c) 2026 The moat authors
//
// The C++ half of the harness: it registers the benches with Google Benchmark.
#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "harness.h"

namespace
{

constexpr uint64_t kCallCycles = 50000; // least cycles of one call of the body: 20 microseconds
constexpr size_t kSamples = 1 << 16;

moat_bench *benches;
bool have_counters;

// One bench with one argument. The threads of a run share it.
struct Case {
	const moat_bench *bench;
	int64_t arg;
	void *ctx = nullptr;
	uint64_t items = 1;
	uint64_t batch;
	int failed = 0;
};

// Call the body once. Returns its cycles.
uint64_t call(const moat_bench *bench, moat_bench_run *run, uint64_t n)
{
	run->timed = 0;
	run->sections = false;
	uint64_t t = moat_bench_tsc();
	bench->body(run, n);
	t = moat_bench_tsc() - t;
	if (run->sections)
		return run->timed;
	return t - std::min(t, moat_bench_overhead);
}

// Returns how many iterations make a call so long that time stamps and harness are negligible.
uint64_t find_batch(const moat_bench *bench, moat_bench_run *run)
{
	for (uint64_t n = 1;; n *= 2) {
		call(bench, run, n);
		if (call(bench, run, n) * 2 > kCallCycles || n >= (1u << 20))
			return n;
	}
}

// Returns the cycles of a fixed piece of work. It takes longer while the other hyperthread of the
// core, which may belong to another guest, is busy. The least value ever seen means an idle
// neighbour.
uint64_t probe()
{
	uint64_t t = moat_bench_tsc(), n = 16;

	__asm__ volatile("1: .rept 16\n\t"
			 "add $1, %%eax; add $1, %%edx; add $1, %%esi; add $1, %%edi\n\t"
			 ".endr\n\t"
			 "dec %0; jnz 1b"
			 : "+r"(n)
			 :
			 : "eax", "edx", "esi", "edi", "cc");
	return moat_bench_tsc() - t;
}

uint64_t least_probe = UINT64_MAX;

bool core_was_ours(uint64_t before, uint64_t after)
{
	least_probe = std::min({ least_probe, before, after });
	return std::max(before, after) * 100 <= least_probe * 110;
}

double median(std::vector<double> *v)
{
	if (v->empty())
		return 0;
	auto mid = v->begin() + static_cast<long>(v->size() / 2);
	std::nth_element(v->begin(), mid, v->end());
	return *mid;
}

void report(benchmark::State &state, std::vector<double> *samples, std::vector<double> *ours,
	double total, double items, const uint64_t *before, const uint64_t *after)
{
	using benchmark::Counter;

	state.counters["cycles"] = Counter(median(samples), Counter::kAvgThreads);
	state.counters["cycles_alone"] = Counter(median(ours), Counter::kAvgThreads);
	state.counters["alone"] =
		Counter(static_cast<double>(ours->size()) / static_cast<double>(samples->size()),
			Counter::kAvgThreads);
	state.counters["cycles_mean"] = Counter(total / items, Counter::kAvgThreads);
	for (int i = 0; have_counters && i < MOAT_BENCH_COUNTERS; i++)
		state.counters[moat_bench_counter_names[i]] = Counter(
			static_cast<double>(after[i] - before[i]) / items, Counter::kAvgThreads);
	state.SetItemsProcessed(static_cast<int64_t>(items));
}

void run_case(benchmark::State &state, Case *c)
{
	const moat_bench *bench = c->bench;
	moat_bench_counters counters;
	uint64_t before[MOAT_BENCH_COUNTERS] = {}, after[MOAT_BENCH_COUNTERS] = {};
	std::vector<double> samples, ours;
	moat_bench_run run = {};
	double total = 0, items = 0;

	run.arg = c->arg;
	run.param = bench->param;
	run.thread = static_cast<unsigned>(state.thread_index());
	run.threads = static_cast<unsigned>(state.threads());
	run.items = bench->items_per_arg ? static_cast<uint64_t>(c->arg)
					 : std::max<uint64_t>(bench->items, 1);
	moat_bench_pin(run.thread);
	if (run.thread == 0) {
		c->failed = bench->setup != nullptr ? bench->setup(&run) : 0;
		c->ctx = run.ctx;
		c->items = run.items;
		if (c->batch == 0 && c->failed == 0)
			c->batch = find_batch(bench, &run);
	}
	samples.reserve(kSamples);
	if (have_counters && moat_bench_counters_open(&counters) == 0)
		moat_bench_counters_read(&counters, before);
	// The first call of KeepRunningBatch() is a barrier: then all threads see thread 0's
	// set-up.
	while (state.KeepRunningBatch(static_cast<int64_t>(c->batch != 0 ? c->batch : 1))) {
		if (c->failed != 0) {
			state.SkipWithError(moat_bench_reason);
			break;
		}
		run.ctx = c->ctx;
		run.items = c->items;
		uint64_t probed = probe();
		double cycles = static_cast<double>(call(bench, &run, c->batch));
		bool alone = core_was_ours(probed, probe());
		double n = static_cast<double>(c->batch * run.items);
		total += cycles;
		items += n;
		if (samples.size() < kSamples)
			samples.push_back(cycles / n);
		if (alone && ours.size() < kSamples)
			ours.push_back(cycles / n);
	}
	if (have_counters) {
		moat_bench_counters_read(&counters, after);
		moat_bench_counters_close(&counters);
	}
	if (c->failed == 0 && items > 0)
		report(state, &samples, &ours, total, items, before, after);
	if (run.thread == 0 && bench->teardown != nullptr && c->failed == 0)
		bench->teardown(&run);
}

void add(const moat_bench *bench, int64_t arg, const std::string &name)
{
	auto *c =
		new Case{ bench, arg, nullptr, 1, bench->batch, 0 }; // lives as long as the program
	auto *b = benchmark::RegisterBenchmark(name.c_str(),
		[c](benchmark::State &state) { run_case(state, c); });

	if (bench->threads != 0)
		b->Threads(static_cast<int>(bench->threads));
}

} // namespace

extern "C" void moat_bench_register(moat_bench *bench)
{
	bench->next = benches;
	benches = bench;
}

int main(int argc, char **argv)
{
	std::vector<const moat_bench *> sorted;
	moat_bench_counters counters;
	int err;

	moat_bench_calibrate();
	for (int i = 0; i < 10000; i++)
		core_was_ours(probe(), probe());
	err = moat_bench_counters_open(&counters);
	have_counters = err == 0;
	if (have_counters)
		moat_bench_counters_close(&counters);
	else
		fprintf(stderr, "hardware counters: none here (%s); cycles are TSC cycles\n",
			strerror(err));
	for (const moat_bench *b = benches; b != nullptr; b = b->next)
		sorted.push_back(b);
	std::sort(sorted.begin(), sorted.end(), [](const moat_bench *a, const moat_bench *b) {
		return strcmp(a->name, b->name) < 0;
	});
	for (const moat_bench *b : sorted) {
		if (b->args[0] == 0)
			add(b, 0, b->name);
		for (int i = 0; i < MOAT_BENCH_ARGS && b->args[i] != 0; i++)
			add(b, b->args[i], std::string(b->name) + "/" + std::to_string(b->args[i]));
	}
	benchmark::AddCustomContext("tsc_hz", std::to_string(moat_bench_tsc_hz()));
	benchmark::AddCustomContext("translate_bulk", moat_bench_bulk());
	benchmark::Initialize(&argc, argv);
	if (benchmark::ReportUnrecognizedArguments(argc, argv))
		return 1;
	benchmark::RunSpecifiedBenchmarks();
	benchmark::Shutdown();
	return 0;
}
