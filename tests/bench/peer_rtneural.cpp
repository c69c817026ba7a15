/* Benchmark worker: one GRU and one dense layer of RTNeural with its Eigen backend,
 * sizes fixed by the compiler; workers.py builds it for each row against the headers it
 * is given. */
#if __has_include(<RTNeural/config.h>)
#include <RTNeural/config.h>
#endif
#include <cstdio>
#include <cstring>
#include <vector>

#include <RTNeural/Layer.h>
#include <RTNeural/common.h>

#include <RTNeural/dense/dense_eigen.h>
#include <RTNeural/gru/gru_eigen.tpp>

extern "C" {
#include "worker.h"
}

namespace
{
constexpr int n_channels = N_CHANNELS, hidden = HIDDEN, n_rates = N_RATES;

using Bin = Eigen::Matrix<float, n_channels, 1>;
using Rates = Eigen::Matrix<float, n_rates, 1>;
using Table = std::vector<std::vector<float>>;

/* What RTNeural's ModelT holds and calls in turn. Used directly, it need not copy a bin
 * that is aligned already. */
struct Bench {
    RTNeural::GRULayerT<float, n_channels, hidden> gru;
    RTNeural::DenseT<float, hidden, n_rates> readout;
    std::vector<Bin, Eigen::aligned_allocator<Bin>> bins; /* used round and round */
    Rates rates;
};

/* The next rows x columns numbers of a file that is read from front to back. */
class Numbers
{
  public:
    Numbers(const char *path, size_t n) : next(worker_floats(path, n))
    {
    }

    Table rows(size_t n, size_t columns)
    {
        Table table(n);
        for (auto &row : table) {
            row.assign(next, next + columns);
            next += columns;
        }
        return table;
    }

  private:
    const float *next;
};

/* Row k of RTNeural's gates z, r, n is this row of PyTorch's r, z, n. */
size_t torch_row(size_t k)
{
    static const size_t torch_block[] = {1, 0, 2};
    return torch_block[k / hidden] * hidden + k % hidden;
}

/* PyTorch's [3H, n] as RTNeural's [n, 3H]. */
Table gates(const Table &torch)
{
    Table table(torch[0].size(), std::vector<float>(3 * hidden));
    for (size_t i = 0; i < table.size(); i++)
        for (size_t k = 0; k < 3 * hidden; k++) table[i][k] = torch[torch_row(k)][i];
    return table;
}

/* The file holds, as PyTorch orders them: weight_ih [3H, C], weight_hh [3H, H], bias_ih
 * and bias_hh [3H], the rates' weight [N, H] and bias [N]. */
void weights_load(Bench &b, const char *path)
{
    Numbers numbers(path,
                    3 * hidden * (n_channels + hidden + 2) + n_rates * (hidden + 1));
    b.gru.setWVals(gates(numbers.rows(3 * hidden, n_channels)));
    b.gru.setUVals(gates(numbers.rows(3 * hidden, hidden)));
    const Table input_bias = gates(numbers.rows(3 * hidden, 1));
    const Table state_bias = gates(numbers.rows(3 * hidden, 1));
    b.gru.setBVals({input_bias[0], state_bias[0]});
    b.readout.setWeights(numbers.rows(n_rates, hidden));
    b.readout.setBias(numbers.rows(1, n_rates)[0].data());
    b.gru.reset();
    b.readout.reset();
}

void bench_step(void *context, size_t i)
{
    Bench &b = *static_cast<Bench *>(context);
    b.gru.forward(b.bins[i % b.bins.size()]);
    b.readout.forward(b.gru.outs);
    b.rates = b.readout.outs.array().exp();
}

size_t bench_values(void *context, float *out, size_t cap)
{
    const Bench &b = *static_cast<Bench *>(context);
    const size_t n = cap < n_rates ? cap : n_rates;
    std::memcpy(out, b.rates.data(), n * sizeof *out);
    return n;
}
} // namespace

int main(int argc, char **argv)
{
    static Bench b;
    weights_load(b, worker_option(argc, argv, "weights"));
    const size_t n_bins = worker_size(argc, argv, "bins");
    const float *counts =
        worker_floats(worker_option(argc, argv, "counts"), n_bins * n_channels);
    for (size_t i = 0; i < n_bins; i++)
        b.bins.push_back(Eigen::Map<const Bin>(counts + i * n_channels));

    char text[128];
    std::snprintf(text, sizeof text, "RTNeural's layers, Eigen %d.%d.%d (%s)",
                  EIGEN_WORLD_VERSION, EIGEN_MAJOR_VERSION, EIGEN_MINOR_VERSION,
                  Eigen::SimdInstructionSetsInUse());
    const worker w = {&b, bench_step, bench_values};
    worker_run(&w, text);
    return 0;
}
