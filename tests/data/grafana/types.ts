// What the dashboards are validated against; README.md says how the schemas beside this file are made from it.
import type { Dashboard } from "@grafana/schema/dist/types/raw/dashboard/x/types.gen";
import type * as bargauge from "@grafana/schema/dist/types/raw/composable/bargauge/panelcfg/x/types.gen";
import type * as stat from "@grafana/schema/dist/types/raw/composable/stat/panelcfg/x/types.gen";
import type * as table from "@grafana/schema/dist/types/raw/composable/table/panelcfg/x/types.gen";
import type * as timeseries from "@grafana/schema/dist/types/raw/composable/timeseries/panelcfg/x/types.gen";

export type Whole = Dashboard;
export type OfBargauge = bargauge.Options;
export type OfStat = stat.Options;
export type OfTable = table.Options;
export type OfTableField = table.FieldConfig;
export type OfTimeseries = timeseries.Options;
export type OfTimeseriesField = timeseries.FieldConfig;
