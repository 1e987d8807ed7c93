package message

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"example.com/berth/internal/strict"
)

// A dress is one way to write a job: every one that is accepted.
type dress struct {
	form     string      // "job", "spec", "list"
	envelope bool        //
	single   bool        // one worker pool, not in a list
	key      func() bool // whether the next name is written in snake_case
}

// write puts a job with the given worker pools into the dress.
func (d dress) write(pools []map[string]any) any {
	var style func(v any) any
	style = func(v any) any {
		switch v := v.(type) {
		case map[string]any:
			out := map[string]any{}
			for k, e := range v {
				if d.key() {
					k = strict.Snake(k)
				}
				out[k] = style(e)
			}
			return out
		case []any:
			for i := range v {
				v[i] = style(v[i])
			}
		}
		return v
	}
	list := []any{}
	for _, p := range pools {
		list = append(list, p)
	}
	var value any = list
	if d.single {
		value = list[0]
	}
	spec := map[string]any{"workerPoolSpecs": value, "serviceAccount": "a@p.iam.gserviceaccount.com", "network": "projects/1/global/networks/n"}
	var doc any
	switch d.form {
	case "list":
		doc = list
	case "spec":
		doc = spec
	default:
		doc = map[string]any{"displayName": "x", "jobSpec": spec, "encryptionSpec": map[string]any{"kmsKeyName": "k"}}
	}
	doc = style(doc)
	if d.envelope {
		doc = map[string]any{"job": doc, "requestId": "r"}
	}
	return doc
}

// at resolves a path in a document.
func at(doc any, path string) (any, bool) {
	for path != "" {
		if rest, ok := strings.CutPrefix(path, "["); ok {
			index, after, _ := strings.Cut(rest, "]")
			i, err := strconv.Atoi(index)
			list, isList := doc.([]any)
			if err != nil || !isList || i >= len(list) {
				return nil, false
			}
			doc, path = list[i], strings.TrimPrefix(after, ".")
			continue
		}
		end := strings.IndexAny(path, ".[")
		if end < 0 {
			end = len(path)
		}
		object, isObject := doc.(map[string]any)
		v, ok := object[path[:end]]
		if !isObject || !ok {
			return nil, false
		}
		doc, path = v, strings.TrimPrefix(path[end:], ".")
	}
	return doc, true
}

// TestPathsAreTheMessagesOwn writes one job in every dress. A path that is said
// later has to find the field in the message, and has to be the path at which
// the decoder finds a mistake.
func TestPathsAreTheMessagesOwn(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	always, never := func() bool { return true }, func() bool { return false }
	mixed := func() bool { return random.IntN(2) == 0 }
	for range 600 {
		d := dress{form: []string{"job", "spec", "list"}[random.IntN(3)], envelope: random.IntN(2) == 0, key: [](func() bool){always, never, mixed}[random.IntN(3)]}
		n := 1 + random.IntN(3)
		d.single = n == 1 && d.form != "list" && random.IntN(2) == 0
		want := map[string]any{}
		build := func() (pools []map[string]any) {
			for i := range n {
				at := fmt.Sprintf("jobSpec.workerPoolSpecs[%d].", i)
				machine := map[string]any{"machineType": fmt.Sprint("m-", i), "acceleratorType": "NVIDIA_L4", "acceleratorCount": float64(10 + i)}
				disk := map[string]any{"bootDiskType": fmt.Sprint("d-", i), "bootDiskSizeGb": float64(100 + i)}
				pools = append(pools, map[string]any{"replicaCount": float64(1 + i), "machineSpec": machine, "diskSpec": disk, "containerSpec": map[string]any{"imageUri": "i"}})
				want[at+"replicaCount"] = float64(1 + i)
				for k, v := range machine {
					want[at+"machineSpec."+k] = v
				}
				for k, v := range disk {
					want[at+"diskSpec."+k] = v
				}
			}
			return pools
		}
		doc := d.write(build())
		if d.form != "list" {
			want["jobSpec.network"], want["jobSpec.serviceAccount"] = "projects/1/global/networks/n", "a@p.iam.gserviceaccount.com"
		}
		if d.form == "job" {
			want["encryptionSpec.kmsKeyName"] = "k"
		}
		data, err := json.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		m, err := Decode(Delivery{ID: "1", Data: data})
		if err != nil {
			t.Fatalf("%s: %v", data, err)
		}
		paths := m.Request.Paths
		stored, err := json.Marshal(paths)
		if err != nil {
			t.Fatal(err)
		}
		paths = Paths{}
		if err := json.Unmarshal(stored, &paths); err != nil {
			t.Fatal(err)
		}
		for path, value := range want {
			if got, ok := at(doc, paths.At(path)); !ok || got != value {
				t.Fatalf("%s is at %q in\n%s\nby %s", path, paths.At(path), data, stored)
			}
			if !paths.Has(path) {
				t.Errorf("%s has no place for %s", data, path)
			}
		}
		if (d.form == "job") != paths.Has("encryptionSpec.kmsKeyName") || (d.form != "list") != paths.Has("jobSpec.network") {
			t.Errorf("what %s has a place for: %s", data, stored)
		}
		if id := paths.At("requestId"); (id == "requestId") != d.envelope || !d.envelope && id != "attributes.berth-request-id" {
			t.Errorf("requestId is at %s in %s", id, data)
		}
		// The same job with a mistake: the decoder speaks of it at the same path.
		pools := build()
		pools[n-1]["replicaCount"] = float64(-1)
		field := fmt.Sprintf("jobSpec.workerPoolSpecs[%d].replicaCount", n-1)
		if d.key = never; paths.Snake {
			d.key = always
		}
		if len(paths.Names) > 0 {
			continue // its names were drawn one by one
		}
		data, _ = json.Marshal(d.write(pools))
		_, err = Decode(Delivery{ID: "1", Data: data})
		var r *Refusal
		if !errors.As(err, &r) || r.Problems[0].Path != paths.At(field) {
			t.Fatalf("%s: %v, want a problem at %s", data, err, paths.At(field))
		}
	}
}
