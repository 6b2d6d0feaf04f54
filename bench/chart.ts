/**
 * `bun bench/chart.ts`: draws docs/bench.svg from bench/results/reference.json. With the argument `renew` the
 * newest runs that are kept become the reference first.
 */
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { BarChart, type BarSeriesOption } from "echarts/charts"
import { GridComponent, TitleComponent } from "echarts/components"
import { type ComposeOption, init, use } from "echarts/core"
import { SVGRenderer } from "echarts/renderers"
import type { Row } from "./compare.ts"
import { type Result, readReference, renewReference } from "./results.ts"
import { median } from "./statistics.ts"
import { cpuOf } from "./table.ts"

/** Scenarios shown, in their order, as they are headed. */
const PANELS: readonly (readonly [scenario: string, connections: number, title: string])[] = [
  ["plain", 64, "plain proxying, 64 connections"],
  ["plain", 256, "plain proxying, 256 connections"],
  ["full", 64, "whole job, HS256, 64 connections"],
  ["full", 256, "whole job, HS256, 256 connections"],
  ["full_rs256", 64, "whole job, RS256, 64 connections"],
  ["body_16k", 64, "answers of 16 KB, 64 connections"],
]
const COLORS: Readonly<Record<Row["kind"], string>> = {
  ours: "#0b7a55",
  peer: "#5b7594",
  javascript: "#c08a2e",
  floor: "#b9c0c7",
}
const WIDTH = 920
const HEAD = 64
const PANEL_WIDTH = WIDTH / 2
const PANEL_HEAD = 34
const BAR = 26
const GAP = 12
const NAMES = 172
const FIGURES = 56

use([BarChart, GridComponent, TitleComponent, SVGRenderer])

function draw(results: readonly Result[]): string {
  const panels = PANELS.flatMap(([scenario, connections, title]) => {
    const found = results.find((each) => each.scenario === scenario && each.connections === connections)
    return found === undefined ? [] : [{ title, rows: byCost(found.rows) }]
  })
  if (panels.length === 0) throw new Error("drawing the chart: the reference has no scenario that is shown")
  const bars = (i: number) => Math.max(panels[i]!.rows.length, panels[i + 1]?.rows.length ?? 0)
  /** Where each line of two panels starts; and after the last where it ends. */
  const tops = [HEAD]
  for (let i = 0; i < panels.length; i += 2) tops.push(tops.at(-1)! + PANEL_HEAD + BAR * bars(i) + GAP)
  const height = tops.at(-1)!
  const place = (i: number) => ({ left: PANEL_WIDTH * (i % 2), top: tops[i >> 1]! })

  const chart = init(null, null, { renderer: "svg", ssr: true, width: WIDTH, height })
  const option: ComposeOption<BarSeriesOption> = {
    animation: false,
    backgroundColor: "#ffffff",
    textStyle: { fontFamily: "system-ui, sans-serif" },
    title: [
      {
        text: "CPU µs a request, one core: less is better",
        subtext: `Medians of ${results[0]!.length.rounds} interleaved rounds. ${results[0]!.machine}`,
        left: 16,
        top: 8,
        textStyle: { fontSize: 16 },
      },
      ...panels.map(({ title }, i) => ({
        text: title,
        left: place(i).left + 16,
        top: place(i).top + 8,
        textStyle: { fontSize: 13, color: "#333333" },
      })),
    ],
    grid: panels.map(({ rows }, i) => ({
      left: place(i).left + NAMES,
      top: place(i).top + PANEL_HEAD,
      width: PANEL_WIDTH - NAMES - FIGURES,
      height: BAR * rows.length,
    })),
    xAxis: panels.map((_, i) => ({ type: "value", gridIndex: i, show: false, min: 0 })),
    yAxis: panels.map(({ rows }, i) => ({
      type: "category",
      gridIndex: i,
      inverse: true,
      data: rows.map(({ name }) => name),
      axisLine: { show: false },
      axisTick: { show: false },
      axisLabel: { color: "#333333" },
    })),
    series: panels.map(({ rows }, i) => ({
      type: "bar",
      xAxisIndex: i,
      yAxisIndex: i,
      barWidth: "66%",
      label: { show: true, position: "right", color: "#333333" },
      data: rows.map((row) => ({
        value: Number(median(cpuOf(row)).toFixed(1)),
        itemStyle: { color: COLORS[row.kind] },
      })),
    })),
  }
  chart.setOption(option)
  const svg = chart.renderToSVGString()
  // Its timers would keep the program alive.
  chart.dispose()
  return svg
}

const byCost = (rows: readonly Row[]): Row[] => rows.toSorted((a, b) => median(cpuOf(a)) - median(cpuOf(b)))

const results = process.argv[2] === "renew" ? renewReference() : readReference()
writeFileSync(join(import.meta.dir, "..", "docs", "bench.svg"), `${draw(results)}\n`)
