/** A dense simplex method for linear programs of few variables, such as the prices of a handful of devices. */

export interface LinearProgramResult {
  readonly objective: number;
  readonly variables: Float64Array;
  /** By row: the dual values, which are the weights of the rows in the optimum. */
  readonly weights: Float64Array;
}

const epsilon = 1e-11;

/**
 * Maximises objective · y where rows · y <= limits and y >= 0; `limits` are from 0 on, so that y = 0 is a start. Undefined where it is
 * unbounded. Figures should be of the order of 1.
 */
export function maximize(
  objective: readonly number[],
  rows: readonly (readonly number[])[],
  limits: readonly number[],
): LinearProgramResult | undefined {
  const numVariables = objective.length;
  const numRows = rows.length;
  // A condensed tableau: basic = limit − row · nonbasic. Labels below numVariables are variables, the others slacks of rows.
  const table = rows.map((row, index) => Float64Array.from([...row, limits[index]!]));
  const costs = Float64Array.from([...objective, 0]);
  const nonbasic = Array.from({ length: numVariables }, (_, column) => column);
  const basic = Array.from({ length: numRows }, (_, row) => numVariables + row);
  const maxPivots = 50 * (numVariables + numRows);
  for (let pivots = 0; pivots < maxPivots; pivots++) {
    const column = enteringColumn(costs, nonbasic, pivots > maxPivots / 2);
    if (column < 0) break;
    const row = leavingRow(table, basic, column);
    if (row < 0) return undefined;
    pivot(table, costs, row, column);
    [nonbasic[column], basic[row]] = [basic[row]!, nonbasic[column]!];
  }
  const variables = new Float64Array(numVariables);
  const weights = new Float64Array(numRows);
  for (const [row, label] of basic.entries()) if (label < numVariables) variables[label] = table[row]![numVariables]!;
  for (const [column, label] of nonbasic.entries()) if (label >= numVariables) weights[label - numVariables] = Math.max(0, -costs[column]!);
  return { objective: -costs[numVariables]!, variables, weights };
}

/** The steepest one; or by Bland's rule, which cannot cycle. */
function enteringColumn(costs: Float64Array, nonbasic: readonly number[], byBland: boolean): number {
  let best = -1;
  for (let column = 0; column < nonbasic.length; column++) {
    if (costs[column]! <= epsilon) continue;
    const isBetter = best < 0 || (byBland ? nonbasic[column]! < nonbasic[best]! : costs[column]! > costs[best]!);
    if (isBetter) best = column;
  }
  return best;
}

function leavingRow(table: readonly Float64Array[], basic: readonly number[], column: number): number {
  let best = -1;
  let least = Number.POSITIVE_INFINITY;
  for (let row = 0; row < table.length; row++) {
    const values = table[row]!;
    if (values[column]! <= epsilon) continue;
    const ratio = values[values.length - 1]! / values[column]!;
    if (ratio < least || (ratio === least && basic[row]! < basic[best]!)) [best, least] = [row, ratio];
  }
  return best;
}

function pivot(table: readonly Float64Array[], costs: Float64Array, row: number, column: number): void {
  const pivotRow = table[row]!;
  const inverse = 1 / pivotRow[column]!;
  for (let index = 0; index < pivotRow.length; index++) pivotRow[index]! *= inverse;
  pivotRow[column] = inverse;
  const eliminate = (values: Float64Array) => {
    const factor = values[column]!;
    if (factor === 0) return;
    values[column] = 0;
    for (let index = 0; index < values.length; index++) values[index]! -= factor * pivotRow[index]!;
  };
  for (const values of table) if (values !== pivotRow) eliminate(values);
  eliminate(costs);
}
