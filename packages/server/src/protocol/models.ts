/** Wire types of `GET /v1/models`. */

export interface ModelObject {
  readonly id: string;
  readonly object: "model";
  /** Seconds since 1970. */
  readonly created: number;
  readonly owned_by: string;
}

export interface ModelList {
  readonly object: "list";
  readonly data: readonly ModelObject[];
}
