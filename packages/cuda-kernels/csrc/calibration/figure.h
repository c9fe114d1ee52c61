#pragma once
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

namespace thermocline::cuda {

// One measured quantity: units are in its name.
struct Figure {
  std::string quantity;
  double median;
  double least;
  double most;
  int num_samples;
};

// `samples` holds at least one value.
inline Figure figure_of(std::string quantity, std::vector<double> samples) {
  std::sort(samples.begin(), samples.end());
  const size_t count = samples.size();
  const double median = (samples[(count - 1) / 2] + samples[count / 2]) / 2;
  return {std::move(quantity), median, samples.front(), samples.back(), static_cast<int>(count)};
}

// Runs `measure`, which returns one value, once for warmth and then `num_samples` times.
template <typename Measure>
Figure measure_figure(std::string quantity, int num_samples, Measure measure) {
  measure();
  std::vector<double> samples;
  for (int sample = 0; sample < num_samples; sample++) samples.push_back(measure());
  return figure_of(std::move(quantity), std::move(samples));
}

}  // namespace thermocline::cuda
