import { type DeviceMemoryReport, memoryClasses } from "@thermocline/spec";
import { formatBytes } from "./format-bytes.js";
import { formatTable } from "./format-table.js";

/** Where each byte lies: a line per device, a column per class that holds any. No final newline. */
export function formatMemory(reports: readonly DeviceMemoryReport[]): string {
  const bytesOf = ({ byteLengthByClass }: DeviceMemoryReport, memoryClass: (typeof memoryClasses)[number]) =>
    byteLengthByClass[memoryClass] ?? 0;
  const used = memoryClasses.filter((memoryClass) => reports.some((report) => bytesOf(report, memoryClass) > 0));
  const rows = reports.map((report) => {
    const byClass = used.map((memoryClass) => bytesOf(report, memoryClass));
    const total = byClass.reduce((sum, byteLength) => sum + byteLength, 0);
    return [report.device, ...byClass.map(formatBytes), formatBytes(total), report.name];
  });
  const header = ["device", ...used, "total", "name"];
  const right = new Set(header.keys());
  right.delete(0);
  right.delete(header.length - 1);
  return formatTable([header, ...rows], right);
}
