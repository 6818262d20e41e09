// One dashboard, drawn by Grafana's own panels from the answers that take.py put into window.board.
import React from "react";
import { createRoot } from "react-dom/client";
import { ThemeContext, createTheme, dateTime, getFieldDisplayValues } from "@grafana/data";
import { initPluginTranslations } from "@grafana/i18n";
import { BarGauge, BigValue, GlobalStyles, PanelChrome, TimeSeries, VizRepeater } from "@grafana/ui";
import { TableNG } from "@grafana/ui/unstable";
import { framesOf } from "./frames.js";

const CELL = 30;
const GAP = 8;
const { board } = window;
const theme = createTheme({ colors: { mode: board.mode } });
const range = { from: dateTime(board.from), to: dateTime(board.to), raw: { from: "now-2d", to: "now" } };
const column = (board.width - 2 * GAP + GAP) / 24;

function Drawn({ panel, width, height }) {
  const { frames } = panel;
  if (frames.length === 0) {
    return <div style={{ ...centred, width, height }}>{panel.fieldConfig.defaults.noValue}</div>;
  }
  return { timeseries: Lines, stat: Tiles, bargauge: Bars, table: Table }[panel.type]({ panel, frames, width, height });
}

const centred = { display: "flex", alignItems: "center", justifyContent: "center", textAlign: "center" };

const Lines = ({ panel, frames, width, height }) => (
  <TimeSeries
    frames={frames}
    structureRev={1}
    width={width}
    height={height}
    timeRange={range}
    timeZone={["utc"]}
    legend={panel.options.legend}
    options={panel.options}
  >
    {(builder) => builder.addHook("draw", marks) ?? null}
  </TimeSeries>
);

// Annotations: neighbouring points of a series are one event.
function marks(plot) {
  const { ctx, bbox } = plot;
  for (const event of board.events) {
    for (const series of event.series) {
      for (const { from, to } of spans(series.values.map(([time]) => time * 1000))) {
        const left = plot.valToPos(from, "x", true);
        const right = Math.min(plot.valToPos(to, "x", true), bbox.left + bbox.width);
        ctx.fillStyle = theme.visualization.getColorByName(event.iconColor);
        ctx.fillRect(left - 1, bbox.top, Math.max(right - left, 2), bbox.height);
      }
    }
  }
}

function spans(times) {
  const found = [];
  for (const time of times) {
    const last = found.at(-1);
    if (last && time - last.to <= 60_000) {
      last.to = time;
    } else {
      found.push({ from: time, to: time });
    }
  }
  return found;
}

const displayValues = (panel, frames) =>
  getFieldDisplayValues({
    fieldConfig: panel.fieldConfig,
    reduceOptions: panel.options.reduceOptions,
    replaceVariables: (text) => text,
    theme,
    data: frames,
    timeZone: "utc",
  });

const repeated = (panel, frames, width, height, renderValue, more) => (
  <VizRepeater
    getValues={() => displayValues(panel, frames)}
    source={frames}
    renderCounter={1}
    width={width}
    height={height}
    orientation={panel.options.orientation}
    renderValue={renderValue}
    {...more}
  />
);

const Tiles = ({ panel, frames, width, height }) =>
  repeated(
    panel,
    frames,
    width,
    height,
    ({ value, width, height, count }) => (
      <BigValue
        value={value.display}
        count={count}
        colorMode={panel.options.colorMode}
        graphMode="none"
        justifyMode={panel.options.justifyMode}
        textMode={panel.options.textMode}
        text={panel.options.text}
        width={width}
        height={height}
        theme={theme}
      />
    ),
    { autoGrid: true, orientation: "auto" }
  );

const Bars = ({ panel, frames, width, height }) =>
  repeated(
    panel,
    frames,
    width,
    height,
    ({ value, width, height }) => (
      <BarGauge
        value={value.display}
        field={value.field}
        display={value.view?.getFieldDisplayProcessor(value.colIndex)}
        width={width}
        height={height}
        orientation={panel.options.orientation}
        displayMode={panel.options.displayMode}
        namePlacement={panel.options.namePlacement}
        showUnfilled={panel.options.showUnfilled}
        theme={theme}
        itemSpacing={8}
      />
    ),
    { minVizWidth: 8, minVizHeight: 16, maxVizHeight: 300, itemSpacing: 8 }
  );

const Table = ({ panel, frames, width, height }) => (
  <TableNG data={frames[0]} width={width} height={height} fieldConfig={panel.fieldConfig} initialSortBy={panel.options.sortBy} enableVirtualization={false} timeRange={range} />
);

function Placed({ panel }) {
  const { x, y, w, h } = panel.gridPos;
  const width = w * column - GAP;
  const height = h * (CELL + GAP) - GAP;
  const place = { position: "absolute", left: GAP + x * column, top: 60 + y * (CELL + GAP), width, height };
  if (panel.type === "row") {
    return <h4 style={{ ...place, margin: 0, paddingTop: 6 }}>⌄ {panel.title}</h4>;
  }
  return (
    <div style={place}>
      <PanelChrome title={panel.title} width={width} height={height} description={panel.description}>
        {(innerWidth, innerHeight) => <Drawn panel={panel} width={innerWidth} height={innerHeight} />}
      </PanelChrome>
    </div>
  );
}

async function draw() {
  await initPluginTranslations("grafana", []);
  for (const panel of board.panels) {
    panel.frames = panel.type === "row" ? [] : await framesOf(panel, theme);
  }
  createRoot(document.getElementById("root")).render(
    <ThemeContext.Provider value={theme}>
      <GlobalStyles />
      <h3 style={{ margin: 0, padding: "16px 12px" }}>{board.title}</h3>
      {board.panels.map((panel, place) => (
        <Placed key={place} panel={panel} />
      ))}
    </ThemeContext.Provider>
  );
}

draw();
