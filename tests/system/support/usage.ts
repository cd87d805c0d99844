/**
 * What a process costs: CPU time and memory, from /proc.
 *
 * In: a process id. Out: numbers. Linux only.
 */
import { readdirSync, readFileSync } from "node:fs";

/**
 * Returns the time that all threads of the process have run so far, or those of that name, in nanoseconds.
 * Source: first field of /proc/PID/task/TID/schedstat (Documentation/scheduler/sched-stats.rst), which counts what
 * ran, where utime and stime of /proc/PID/stat only say whom the 10 ms tick met.
 */
export function cpuTimeNs(pid: number, threadName: RegExp = /^/): number {
  let totalNs = 0;
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    const folder = `/proc/${pid}/task/${thread}`;
    if (!threadName.test(readFileSync(`${folder}/comm`, "utf8"))) continue;
    totalNs += Number(readFileSync(`${folder}/schedstat`, "utf8").split(" ")[0]);
  }
  return totalNs;
}

/** Returns the resident memory of the process in bytes. */
export function residentBytes(pid: number): number {
  const match = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"));
  if (match === null) throw new Error(`/proc/${pid}/status has no VmRSS`);
  return Number(match[1]) * 1024;
}
