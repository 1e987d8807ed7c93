package message

import (
	"fmt"
	"regexp"
	"runtime"
	"strings"
	"testing"
)

// Bounds on what a decoder does, counted and not timed. Work grows with the bytes
// that came; the problems of a message have a bound of their own.
const (
	workPerByte   = 2      // bytes scanned and values visited
	workAtMost    = 45_000 // what aliases stand for: MaxValues, visited twice
	allocsPerByte = 3
	allocsAtMost  = 45_000
)

// costly makes data whose cost could grow faster than its size.
func costly() map[string]string {
	repeat := func(format string, n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, format, i)
		}
		return b.String()
	}
	fill := func(before, unit, after string) string {
		return before + strings.Repeat(unit, (MaxData/4-len(before)-len(after))/len(unit)) + after
	}
	pool := func(container string) string {
		return "- machineSpec: {machineType: m}\n  replicaCount: 1\n  containerSpec:\n    imageUri: i\n" + container
	}
	return map[string]string{
		"tag directives":      repeat("%%TAG !t%d! canary\n", 13_000) + "---\na: b",
		"tags after a job":    pool("") + "...\n" + repeat("%%TAG !t%d! canary\n", 13_000) + "---\na: b",
		"tags after odd ends": repeat("%%TAG !t%d! canary\r", 13_000) + "---\na: b",
		"aliases":             fill("a: [&a canary,", "*a,", "*a]"),
		"aliases of a list":   "a: &a [" + strings.Repeat("x,", 1000) + "]\nb: [" + strings.Repeat("*a,", 10_000) + "]",
		"aliases of a text":   pool("    command: &a " + strings.Repeat("x", MaxData/2) + "\n    args: [" + strings.Repeat("*a,", 10_000) + "]\n"),
		"aliases of a key":    "a: &a " + strings.Repeat("x", MaxData/2) + "\nb: [" + strings.Repeat("{*a : 1},", 10_000) + "]",
		"merges":              "a: &a {" + repeat("k%d: 1, ", 2000) + "}\nb:\n" + strings.Repeat("- <<: *a\n", 10_000),
		"merges of one":       "a: &a {" + repeat("k%d: 1, ", 2000) + "}\nb:\n  <<: [" + strings.Repeat("*a,", 30_000) + "]\n",
		"chain of merges": "- &a0 {x: 1}\n" + func() string {
			var b strings.Builder
			for i := range 3000 {
				fmt.Fprintf(&b, "- &a%d {<<: *a%d, k%d: 1}\n", i+1, i, i)
			}
			return b.String()
		}(),
		"doubling": "- &a0 [x]\n" + func() string {
			var b strings.Builder
			for i := range 200 {
				fmt.Fprintf(&b, "- &a%d [*a%d, *a%d]\n", i+1, i, i)
			}
			return b.String()
		}(),
		"anchors":       fill("a: [", "&a b,", "b]"),
		"brackets":      fill("a: ", "[", ""),
		"flow":          fill("{a: [", "x,", "]}"),
		"flow aliases":  fill("{a: [&a canary,", "*a,", "*a]}"),
		"flow, broken":  fill("{a: [", "x,", "}"),
		"dashes":        fill("", "- ", ""),
		"keys":          repeat("k%d:\n", 20_000),
		"comments":      fill("", "#\n", ""),
		"arguments":     `[{"machineSpec":{"machineType":"m"},"replicaCount":1,"containerSpec":{"imageUri":"i","args":["` + strings.Repeat(`","`, 19_000) + `"]}}]`,
		"unknown JSON":  `{"job":{` + strings.TrimSuffix(repeat(`"acceleratorTypo%d":1,`, 9000), ",") + `}}`,
		"unknown YAML":  repeat("acceleratorTypo%d: 1\n", 9000),
		"escapes":       fill(`{"displayName":"`, `\ud83d\ude00`, `"}`),
		"templates":     fill(`[{"machineSpec":{"machineType":"m"},"replicaCount":1,"containerSpec":{"imageUri":"i","args":["`, `{{`, `"]}}]`),
		"template each": `[{"machineSpec":{"machineType":"m"},"replicaCount":1,"containerSpec":{"imageUri":"i","args":[` + strings.TrimSuffix(strings.Repeat(`"${A}",`, 15_000), ",") + `]}}]`,
	}
}

// TestWork bounds the work of the decoders over every hostile message.
func TestWork(t *testing.T) {
	check := func(name string, size int, do func(r *report)) *report {
		t.Helper()
		var before, after runtime.MemStats
		r := &report{}
		runtime.ReadMemStats(&before)
		do(r)
		runtime.ReadMemStats(&after)
		if most := workPerByte*size + workAtMost; r.Work > most {
			t.Errorf("%s: %d bytes cost %d of work, want %d at most", name, size, r.Work, most)
		}
		if allocs, most := after.Mallocs-before.Mallocs, uint64(allocsPerByte*size+allocsAtMost); allocs > most {
			t.Errorf("%s: %d bytes cost %d allocations, want %d at most", name, size, allocs, most)
		}
		if r.Loaded > size {
			t.Errorf("%s: %d of %d bytes are given to the YAML loader", name, r.Loaded, size)
		}
		return r
	}
	data := func(name string, data []byte) {
		var err error
		r := check(name, len(data), func(r *report) { _, err = decode(Delivery{ID: "1", Data: data}, r) })
		if line := regexp.MustCompile(`(^|[\n\r\x{85}\x{2028}\x{2029}])%`); line.Match(data) && data[0] != '{' && data[0] != '[' && (err == nil || r.Loaded > 0) {
			t.Errorf("%s: a directive is given to the YAML loader, error %v", name, err)
		}
	}
	for name, text := range costly() {
		if len(text) > MaxData {
			t.Errorf("%s has %d bytes and is not read", name, len(text))
		}
		data(name, []byte(text))
	}
	for i, text := range hostile(t, "data.") {
		data(fmt.Sprint("data ", i), text)
	}
	for i, text := range hostile(t, "data.json") {
		check(fmt.Sprint("stored job ", i), len(text), func(*report) { _, _ = ParseJob(text) })
		check(fmt.Sprint("event ", i), len(text), func(*report) {
			_, _ = DecodeOutcome(map[string]string{"ce-specversion": "1.0", "ce-type": string(Queued), "ce-id": "a", "ce-time": "2026-01-01T00:00:00Z"}, text)
		})
	}
	for i, text := range hostile(t, "body.") {
		check(fmt.Sprint("body ", i), len(text), func(r *report) {
			_, _ = decodeDelivery(func(string) string { return "" }, text, r)
		})
	}
}
