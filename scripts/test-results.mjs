// Adds up the JSON reports of vitest runs.
import { existsSync, readFileSync } from "node:fs";

/**
 * Sums what the reports say. A file that ended without a failing test of its own, for example because it cannot be imported, counts as
 * one failure, and so does a report that is not there: the run that should have written it died. An error outside of every test shows in the
 * run's exit status alone.
 * @param {readonly string[]} files
 * @returns {{ passed: number, failed: number, skipped: number, problems: string[] }}
 */
export function sumResults(files) {
  const sum = { passed: 0, failed: 0, skipped: 0, problems: /** @type {string[]} */ ([]) };
  for (const file of files) {
    if (!existsSync(file)) {
      sum.failed++;
      sum.problems.push(`no test results at ${file}`);
      continue;
    }
    const report = JSON.parse(readFileSync(file, "utf8"));
    sum.passed += report.numPassedTests;
    sum.failed += report.numFailedTests;
    sum.skipped += report.numPendingTests + report.numTodoTests;
    for (const result of report.testResults) {
      if (result.status !== "failed" || result.assertionResults.some(({ status }) => status === "failed")) continue;
      sum.failed++;
      sum.problems.push(`${result.name} failed: ${(result.message ?? "").split("\n")[0]}`);
    }
  }
  return sum;
}
