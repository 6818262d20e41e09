// Prometheus' answers as the data frames that Grafana's data source makes of them, with a panel's field settings applied.
import {
  FieldType,
  Registry,
  applyFieldOverrides,
  cacheFieldDisplayNames,
  createDataFrame,
  standardTransformers,
  standardTransformersRegistry,
  transformDataFrame,
} from "@grafana/data";
import { lastValueFrom } from "rxjs";

standardTransformersRegistry.setInit(() =>
  [standardTransformers.mergeTransformer, standardTransformers.organizeFieldsTransformer].map((transformation) => ({
    id: transformation.id,
    name: transformation.name,
    transformation,
    editor: () => null,
  }))
);

const STANDARD = ["color", "decimals", "displayName", "links", "mappings", "max", "min", "noValue", "thresholds", "unit"];
const setting = (path, isCustom) => ({
  id: isCustom ? `custom.${path}` : path,
  path,
  isCustom,
  name: path,
  editor: () => null,
  override: () => null,
  process: (value) => value,
  shouldApply: () => true,
  settings: {},
});

// What Grafana's time series panel takes where a dashboard says nothing.
const LINES = {
  drawStyle: "line",
  lineInterpolation: "linear",
  lineWidth: 1,
  fillOpacity: 0,
  gradientMode: "none",
  barAlignment: 0,
  showPoints: "auto",
  pointSize: 5,
  spanNulls: false,
  insertNulls: false,
  axisPlacement: "auto",
  axisLabel: "",
  axisColorMode: "text",
  axisBorderShow: false,
  axisCenteredZero: false,
  scaleDistribution: { type: "linear" },
  stacking: { mode: "none", group: "A" },
  hideFrom: { tooltip: false, viz: false, legend: false },
  thresholdsStyle: { mode: "off" },
};
const CELLS = { align: "auto", cellOptions: { type: "auto" }, inspect: false };

const custom = [...Object.keys({ ...LINES, ...CELLS }), "axisSoftMax", "axisSoftMin", "fillBelowTo", "lineStyle", "minWidth", "width"];
const settings = new Registry(() => [...STANDARD.map((id) => setting(id, false)), ...custom.map((id) => setting(id, true))]);

export async function framesOf(panel, theme) {
  const several = panel.answers.length > 1;
  let frames = panel.answers.flatMap((answer) => (answer.table ? [asTable(answer, several)] : answer.series.map(asSeries(answer))));
  frames = frames.filter((frame) => frame.length > 0);
  if (panel.transformations) {
    frames = await lastValueFrom(transformDataFrame(panel.transformations, frames));
  }
  const own = panel.type === "timeseries" ? LINES : panel.type === "table" ? CELLS : {};
  const { defaults, overrides } = panel.fieldConfig;
  const made = applyFieldOverrides({
    data: frames,
    fieldConfig: {
      defaults: { ...defaults, color: defaults.color ?? { mode: colorMode(panel) }, custom: { ...own, ...defaults.custom } },
      overrides,
    },
    fieldConfigRegistry: settings,
    replaceVariables: (text) => text,
    theme,
    timeZone: "utc",
  });
  cacheFieldDisplayNames(made);
  return made;
}

const colorMode = (panel) => (panel.type === "timeseries" ? "palette-classic" : "thresholds");

const asSeries = (answer) => (series) =>
  createDataFrame({
    refId: answer.refId,
    fields: [
      { name: "Time", type: FieldType.time, values: series.values.map(([time]) => time * 1000) },
      {
        name: "Value",
        type: FieldType.number,
        labels: series.metric,
        values: series.values.map(([, value]) => Number(value)),
        config: series.name ? { displayNameFromDS: series.name } : {},
      },
    ],
  });

function asTable(answer, several) {
  const labels = [...new Set(answer.series.flatMap((series) => Object.keys(series.metric)))].sort();
  const column = (name, type, of) => ({ name, type, values: answer.series.map(of) });
  return createDataFrame({
    refId: answer.refId,
    fields: [
      column("Time", FieldType.time, (series) => series.values[0][0] * 1000),
      ...labels.map((label) => column(label, FieldType.string, (series) => series.metric[label] ?? "")),
      column(several ? `Value #${answer.refId}` : "Value", FieldType.number, (series) => Number(series.values[0][1])),
    ],
  });
}
