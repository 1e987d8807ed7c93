package replay

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"time"

	"example.com/berth/internal/admission"
)

// A Window is a part of a trace on the pools of a layout.
type Window struct {
	Name  string // trace/window/layout
	Jobs  []Job
	Pools []Pool // a replica is one GPU
	Each  int64  // GPUs of a machine
}

// Gang is from how many GPUs on a job of the window is a gang: more than a machine has.
func (w *Window) Gang() int64 { return w.Each + 1 }

// traceConfig is what configs.json says of a trace.
type traceConfig struct {
	File    string                 `json:"file"`
	Each    int64                  `json:"gpus_per_machine"`
	Layouts map[string]traceLayout `json:"layouts"`
	Windows map[string]traceWindow `json:"windows"`
}

type traceWindow struct {
	From    int64                  `json:"from_s"`
	To      int64                  `json:"to_s"`  // 0 for the end of the trace
	Cap     int64                  `json:"cap_s"` // longer jobs are cut down to it; 0 for none
	Own     bool                   `json:"own_layouts"`
	Layouts map[string]traceLayout `json:"layouts"`
}

type traceLayout struct {
	Pools []struct {
		Name     string `json:"name"`
		Machines int64  `json:"machines"`
	} `json:"pools"`
	Route struct {
		By    string `json:"by"` // all, tenant or gpus
		Rules []struct {
			Max  *int64 `json:"max_gpus"` // nil for all
			Pool string `json:"pool"`
		} `json:"rules"`
		Map     map[string]string `json:"map"`
		Default string            `json:"default"`
	} `json:"route"`
}

// route returns the pool of a job; "" if no rule names one.
func (l *traceLayout) route(j *Job) string {
	switch l.Route.By {
	case "all":
		if len(l.Pools) > 0 {
			return l.Pools[0].Name
		}
	case "tenant":
		if pool, ok := l.Route.Map[j.Tenant]; ok {
			return pool
		}
		return l.Route.Default
	case "gpus":
		for _, r := range l.Route.Rules {
			if r.Max == nil || j.Replicas <= *r.Max {
				return r.Pool
			}
		}
	}
	return ""
}

// Windows reads the windows of a folder of traces: configs.json names its traces,
// their windows, and the layouts of their pools. They come sorted by name.
func Windows(dir fs.FS) (windows []Window, err error) {
	text, err := fs.ReadFile(dir, "configs.json")
	if err != nil {
		return nil, fmt.Errorf("read the configuration of the traces: %w", err)
	}
	var configs map[string]traceConfig
	if err := json.Unmarshal(text, &configs); err != nil {
		return nil, fmt.Errorf("configs.json: %w", err)
	}
	for _, trace := range slices.Sorted(maps.Keys(configs)) {
		c := configs[trace]
		if c.Each < 1 {
			return nil, fmt.Errorf("configs.json: %s: gpus_per_machine is %d; want 1 or more", trace, c.Each)
		}
		jobs, err := readTrace(dir, c.File)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.File, err)
		}
		for _, name := range slices.Sorted(maps.Keys(c.Windows)) {
			w := c.Windows[name]
			layouts := c.Layouts
			if w.Own {
				layouts = w.Layouts
			}
			part := w.cut(jobs)
			for _, layout := range slices.Sorted(maps.Keys(layouts)) {
				l := layouts[layout]
				window, err := l.window(trace+"/"+name+"/"+layout, part, c.Each)
				if err != nil {
					return nil, fmt.Errorf("%s: %w", window.Name, err)
				}
				windows = append(windows, window)
			}
		}
	}
	if len(windows) == 0 {
		return nil, errors.New("configs.json names no window")
	}
	return windows, nil
}

func readTrace(dir fs.FS, name string) ([]Job, error) {
	f, err := dir.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // opened for reading only
	return Read(f, Limits{})
}

// cut returns the jobs of the window, from time 0 on.
func (w *traceWindow) cut(jobs []Job) (part []Job) {
	for _, j := range jobs {
		if at := int64(j.Submit / time.Second); at < w.From || w.To > 0 && at >= w.To {
			continue
		}
		j.Submit -= time.Duration(w.From) * time.Second
		if longest := time.Duration(w.Cap) * time.Second; w.Cap > 0 && j.Run > longest {
			j.Run = longest
			j.Limit = max(j.Run, admission.LimitStep(j.Run))
		}
		part = append(part, j)
	}
	return part
}

func (l *traceLayout) window(name string, jobs []Job, each int64) (Window, error) {
	w := Window{Name: name, Each: each}
	if ways := []string{"all", "tenant", "gpus"}; !slices.Contains(ways, l.Route.By) {
		return w, fmt.Errorf("jobs are routed by %q; want one of %q", l.Route.By, ways)
	}
	for _, p := range l.Pools {
		w.Pools = append(w.Pools, Pool{Name: p.Name, Replicas: p.Machines * each})
	}
	jobs = slices.Clone(jobs)
	for i := range jobs {
		jobs[i].Pool = l.route(&jobs[i])
	}
	jobs, unfit, err := Place(jobs, w.Pools)
	if err == nil {
		unfit = append(unfit, Unfit(jobs, w.Pools, each)...)
	}
	switch {
	case err != nil:
		return w, err
	case len(unfit) > 0:
		return w, fmt.Errorf("line %d: the job never fits its pool %s", unfit[0].Line, unfit[0].Pool)
	case len(jobs) == 0:
		return w, errors.New("no job is submitted in it")
	}
	w.Jobs = jobs
	return w, nil
}
