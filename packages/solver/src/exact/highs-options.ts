/** Options of HiGHS under which answers are the same from run to run, as far as a time limit allows. */
export function highsOptions(gap: number, timeLimitMs: number): Readonly<Record<string, number | string>> {
  return {
    mip_rel_gap: gap,
    // Of objectives of about 1e4.
    mip_abs_gap: 1e-6,
    mip_feasibility_tolerance: 1e-9,
    primal_feasibility_tolerance: 1e-9,
    time_limit: timeLimitMs / 1000,
    random_seed: 1,
  };
}
