/** A mixed-integer program under construction, in the arrays that HiGHS takes. Minimised. */

/** Plain data, to be sent to a worker: `ModelData` of the `highs` package. Rows are compressed. */
export interface IntegerProgramData {
  readonly numCols: number;
  readonly numRows: number;
  readonly colCost: Float64Array;
  readonly colLower: Float64Array;
  readonly colUpper: Float64Array;
  readonly rowLower: Float64Array;
  readonly rowUpper: Float64Array;
  /** 1 for integers, 0 for continuous variables. */
  readonly integrality: Int32Array;
  readonly matrix: {
    readonly format: "csr";
    readonly numRows: number;
    readonly numCols: number;
    readonly starts: Int32Array;
    readonly indices: Int32Array;
    readonly values: Float64Array;
  };
}

/** Column and coefficient. */
export type Term = readonly [column: number, coefficient: number];

export class IntegerProgram {
  readonly #costs: number[] = [];
  readonly #upper: number[] = [];
  readonly #integrality: number[] = [];
  readonly #rowLower: number[] = [];
  readonly #rowUpper: number[] = [];
  readonly #starts: number[] = [0];
  readonly #indices: number[] = [];
  readonly #values: number[] = [];

  /** A variable from 0 to `upper`; its index. */
  addVariable(cost: number, upper: number, isInteger: boolean): number {
    this.#costs.push(cost);
    this.#upper.push(upper);
    return this.#integrality.push(isInteger ? 1 : 0) - 1;
  }

  addRow(lower: number, terms: readonly Term[], upper: number): void {
    this.#rowLower.push(lower);
    this.#rowUpper.push(upper);
    for (const [column, coefficient] of terms) {
      if (coefficient === 0) continue;
      this.#indices.push(column);
      this.#values.push(coefficient);
    }
    this.#starts.push(this.#indices.length);
  }

  get numVariables(): number {
    return this.#costs.length;
  }

  data(): IntegerProgramData {
    const numCols = this.#costs.length;
    const numRows = this.#rowLower.length;
    return {
      numCols,
      numRows,
      colCost: Float64Array.from(this.#costs),
      colLower: new Float64Array(numCols),
      colUpper: Float64Array.from(this.#upper),
      rowLower: Float64Array.from(this.#rowLower),
      rowUpper: Float64Array.from(this.#rowUpper),
      integrality: Int32Array.from(this.#integrality),
      matrix: {
        format: "csr",
        numRows,
        numCols,
        starts: Int32Array.from(this.#starts),
        indices: Int32Array.from(this.#indices),
        values: Float64Array.from(this.#values),
      },
    };
  }
}
