package message

import (
	"encoding/base64"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
)

func fill(prefix, unit, suffix string, size int) string {
	n := (size - len(prefix) - len(suffix)) / len(unit)
	return prefix + strings.Repeat(unit, n) + suffix
}

func TestScratchTiming(t *testing.T) {
	keys := func(sep, end string) string {
		var b strings.Builder
		for i := 0; b.Len() < MaxData-20; i++ {
			fmt.Fprintf(&b, "k%d%s", i, sep)
		}
		return b.String() + end
	}
	cases := map[string]string{
		"yaml seqs on a line": fill("", "- ", "", MaxData),
		"yaml ? ":             fill("", "? ", "", MaxData),
		"yaml a: ":            fill("", "a: ", "", MaxData),
		"yaml [":              fill("a: ", "[", "", MaxData),
		"yaml [ closed":       "a: " + strings.Repeat("[", MaxData/2-10) + strings.Repeat("]", MaxData/2-10),
		"yaml {":              fill("a: ", "{", "", MaxData),
		"yaml {a: ":           fill("a: ", "{a: ", "", MaxData),
		"yaml [,":             fill("a: [", "x,", "]", MaxData),
		"yaml []":             fill("a: [", "[],", "]", MaxData),
		"yaml keys":           keys(":\n", ""),
		"yaml samekeys":       fill("", "a:\n", "", MaxData),
		"yaml flow keys":      "a: {" + keys(",", "}"),
		"yaml comments":       fill("a: b\n", "#\n", "", MaxData),
		"yaml comments2":      fill("a: b\n", "- #a\n", "", MaxData),
		"yaml comments3":      fill("", "a: b #c\n", "", MaxData),
		"yaml comments4":      fill("a:\n", "  #c\n", "", MaxData),
		"yaml comments5":      fill("a: [", "b, #c\n", "]", MaxData),
		"yaml comments long":  "a: b\n#" + strings.Repeat("c", MaxData-100),
		"yaml anchors":        fill("a: [", "&a b,", "]", MaxData),
		"yaml aliases":        fill("a: [&a b,", "*a,", "]", MaxData),
		"yaml bomb":           "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\ng: &g [*f,*f,*f,*f,*f,*f,*f,*f,*f]\nh: [*g,*g,*g,*g,*g,*g,*g]\n",
		"yaml bangs":          fill("a: ", "!", "", MaxData),
		"yaml tag":            fill("a: [", "!!a b,", "]", MaxData),
		"yaml docs":           fill("", "---\n", "", MaxData),
		"yaml docs2":          fill("a: b\n", "---\na\n", "", MaxData),
		"yaml percents":       fill("", "%TAG ! a\n", "---\na: b", MaxData),
		"yaml directives":     fill("", "%a b\n", "---\na: b", MaxData),
		"yaml dq":             fill("a: \"", "\\n", "\"", MaxData),
		"yaml dq open":        fill("a: \"", "\\n", "", MaxData),
		"yaml sq":             fill("a: '", "''", "'", MaxData),
		"yaml literal":        fill("a: |\n", " x\n", "", MaxData),
		"yaml literal blank":  fill("a: |\n x", "\n", "", MaxData),
		"yaml literal indent": fill("a: |\n", "  \n", " x", MaxData),
		"yaml folded":         fill("a: >\n", " x\n\n", "", MaxData),
		"yaml plain multi":    fill("a: b\n", " x\n", "", MaxData),
		"yaml plain words":    fill("a: b", " x", "", MaxData),
		"yaml plain words2":   fill("a: b", " x:", "", MaxData),
		"yaml spaces":         fill("a:", " ", "b", MaxData),
		"yaml newlines":       fill("a:", "\n", " b", MaxData),
		"yaml tabs":           fill("a: b", "\t", "", MaxData),
		"yaml stairs":         stairs(),
		"yaml stairs deep":    stairs()[:len(stairs())/2],
		"yaml long key":       strings.Repeat("k", MaxData-10) + ": a",
		"yaml dashes":         fill("", "-", "", MaxData),
		"yaml dots":           fill("", "...\n", "", MaxData),
		"yaml nulls":          fill("a:\n", " -\n", "", MaxData),
		"yaml NUL":            fill("a: ", "\x00", "", MaxData),
		"yaml unicode":        fill("a: ", "\U0001F600", "", MaxData),
		"yaml cr":             fill("a: b", "\r", "", MaxData),
		"yaml keyq":           fill("", "? a\n: b\n", "", MaxData),
		"yaml keyq nest":      fill("", "? - ", "", MaxData),
		"yaml colon":          fill("", ":", "", MaxData),
		"yaml colons":         fill("", ": ", "", MaxData),
		"yaml commas":         fill("[", ",", "]", MaxData),
		"json commas":         fill("[", "1,", "1]", MaxData),
		"json dup keys":       fill("{", `"a":1,`, `"a":1}`, MaxData),
		"json {}":             fill("[", "{},", "{}]", MaxData),
		"json unknown":        jsonKeys(),
		"json escape":         fill(`{"a":"`, `\u0041`, `"}`, MaxData),
		"json surr":           fill(`{"a":"`, `\ud83d\ude00`, `"}`, MaxData),
		"json bs":             fill(`{"a":"`, `\\`, `"}`, MaxData),
		"json num":            fill(`{"a":`, `1`, `}`, MaxData),
		"json numexp":         fill(`{"priority":1e`, `1`, `,"job":[]}`, MaxData),
		"json text num":       fill(`[{"replicaCount":"`, `1`, `"}]`, MaxData),
		"json spaces":         fill(`[`, ` `, `]`, MaxData),
		"json newlines err":   fill(`[`, "\n", `x]`, MaxData),
		"json label key":      fill(`{"labels":{"`, `é`, `":"x"},"job":[{}]}`, MaxData),
		"json request id":     fill(`{"requestId":"`, `a`, `","job":[{}]}`, MaxData),
		"json enum":           fill(`[{"machineSpec":{"acceleratorType":"`, `a`, `"}}]`, MaxData),
		"json unknown long":   fill(`{"`, `jobSpec`, `":1}`, MaxData),
		"json odd longkeys":   fill(`{"jobSpec":{"`, "\u0001", `":1}}`, 200),
	}
	for name, data := range cases {
		for _, s := range []string{data} {
			if len(s) > MaxData {
				s = s[:MaxData]
			}
			var m0, m1 runtime.MemStats
			runtime.ReadMemStats(&m0)
			start := time.Now()
			_, err := Decode(Delivery{ID: "1", Data: []byte(s)})
			d := time.Since(start)
			runtime.ReadMemStats(&m1)
			if d > 30*time.Millisecond || (m1.TotalAlloc-m0.TotalAlloc) > 50<<20 {
				e := fmt.Sprint(err)
				t.Logf("%-22s %8v %5d MB  %.150s", name, d.Round(time.Millisecond), (m1.TotalAlloc-m0.TotalAlloc)>>20, e)
			}
		}
	}
	body := func(s string) string { return s }
	big := base64.StdEncoding.EncodeToString(make([]byte, 10<<20))
	for name, b := range map[string]string{
		"push 10 MB":      body(`{"message":{"messageId":"1","data":"` + big + `"}}`),
		"push 15MB bad b64": fill(`{"message":{"messageId":"1","data":"`, `!`, `"}}`, MaxBody),
		"ce b64":          `{"specversion":"1.0","type":"` + publishedType + `","data_base64":"` + base64.StdEncoding.EncodeToString([]byte(`{"message":{"messageId":"1","data":"`+big[:10<<20]+`"}}`)) + `"}`,
		"escapes":         fill(`{"message":{"messageId":"1","data":"`, `\u0041`, `"}}`, MaxBody),
		"ones":            fill(`{"message":{"messageId":"1","data":[`, `1,`, `1]}}`, MaxBody),
		"dups":            fill(`{"message":{"messageId":"1",`, `"a":1,`, `"a":1}}`, MaxBody),
		"attrs":           fill(`{"message":{"messageId":"1","attributes":{`, `"a":"",`, `"a":""}}}`, MaxBody),
		"key":             fill(`{"message":{"messageId":"1","attributes":{"`, `a`, `":""}}}`, MaxBody),
		"spaces":          fill(`{"message":{"messageId":"1"}`, ` `, `}`, MaxBody),
		"newlines":        fill(`{"message":{"messageId":"1"}`, "\n", `x`, MaxBody),
		"[":               fill(``, "[", ``, MaxBody),
		"[]":              fill(`[`, "[],", `[]]`, MaxBody),
	} {
		var m0, m1 runtime.MemStats
		runtime.ReadMemStats(&m0)
		start := time.Now()
		d, err := DecodeDelivery(func(n string) string {
			if strings.HasPrefix(b, `{"spec`) && n == "Content-Type" {
				return "application/cloudevents+json"
			}
			return ""
		}, []byte(b))
		if d.ID != "" && err == nil {
			_, err = Decode(d)
		}
		el := time.Since(start)
		runtime.ReadMemStats(&m1)
		e := fmt.Sprint(err)
		t.Logf("DELIVERY %-22s %8v %5d MB id=%s %.150s", name, el.Round(time.Millisecond), (m1.TotalAlloc-m0.TotalAlloc)>>20, d.ID, e)
	}
}

func stairs() string {
	var b strings.Builder
	for i := 0; b.Len() < MaxData-1000; i++ {
		b.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	return b.String()
}

func jsonKeys() string {
	var b strings.Builder
	b.WriteString(`{"jobSpec":{`)
	for i := 0; b.Len() < MaxData-20; i++ {
		fmt.Fprintf(&b, `"k%d":1,`, i)
	}
	b.WriteString(`"z":1}}`)
	return b.String()
}

func TestScratchTimes(t *testing.T) {
	for _, s := range []string{"2026-01-01T00:00:00+24:00", "0000-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "0000-01-01T00:00:00Z", "2026-01-01T00:00:00,5Z"} {
		d, err := DecodeDelivery(headers(), []byte(`{"message":{"messageId":"1","publishTime":"`+s+`"}}`))
		_, jerr := d.PublishTime.MarshalJSON()
		_, jerr2 := d.PublishTime.UTC().MarshalJSON()
		t.Log(s, d.PublishTime, err, jerr, jerr2)
	}
	for _, s := range []string{"0.99999999999999999999", "1e0", "10e-1", "1.00000000000000000001", "9007199254740993.0", "1e400", "-0", "1E+2"} {
		i, ok := wholeNumber(&node{kind: number, text: s}, 64)
		t.Log(s, i, ok)
	}
	for _, s := range []string{"9223372036s", "9223372037s", "315576000000s", "999999999999s"} {
		i, ok := seconds(s)
		t.Log(s, i, ok)
	}
}
