package fakevertex

import (
	"fmt"
	"strings"
	"time"
	"unicode"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"
)

// parseFilter reads the filter of ListCustomJobs:
//
//	filter  = clause { "AND" clause }
//	clause  = factor { "OR" factor }
//	factor  = [ "NOT" ] ( "(" filter ")" | term )
//	term    = "display_name" ( "=" | "!=" | ":" ) value
//	        | "state" ( "=" | "!=" ) quoted
//	        | "create_time" ( "=" | "!=" | "<" | "<=" | ">" | ">=" ) quoted
//	        | "labels." key ( "=" value | ":*" )
//
// A value is a word or a quoted string. After ":" a star in the value of
// display_name stands for any text.
func parseFilter(text string) (clause[*aiplatformpb.CustomJob], error) {
	return parseClauses(text, jobTerm, false)
}

// A clause selects entries of a list. Beside the test itself it says what an index can
// use, so that a list need not test every entry.
type clause[T any] struct {
	holds func(T) bool
	needs []string // fields and values, as "field=value", that every entry has that is selected

	// States for which the clause can hold, and those for which it holds whatever else
	// the entry says: bit n is the state of number n.
	can, must uint32
}

// anyState says that a clause depends on no state.
const anyState = ^uint32(0)

func (c clause[T]) and(d clause[T]) clause[T] {
	return clause[T]{func(v T) bool { return c.holds(v) && d.holds(v) },
		append(append([]string(nil), c.needs...), d.needs...), c.can & d.can, c.must & d.must}
}

func (c clause[T]) or(d clause[T]) clause[T] {
	return clause[T]{func(v T) bool { return c.holds(v) || d.holds(v) }, nil, c.can | d.can, c.must | d.must}
}

func (c clause[T]) not() clause[T] {
	return clause[T]{func(v T) bool { return !c.holds(v) }, nil, ^c.must, ^c.can}
}

// A comparison is one term of a filter.
type comparison struct {
	field, op string
	value     token
}

func (c comparison) refuse() error {
	return fmt.Errorf("field %q does not support %s with the value %q", c.field, c.op, c.value.text)
}

// parseClauses reads a filter whose terms mean what term says. An empty one selects
// everything. With juxtaposed, terms without an operator between them are joined by AND.
func parseClauses[T any](text string, term func(comparison) (clause[T], error), juxtaposed bool) (clause[T], error) {
	tokens, err := lex(text)
	if err != nil {
		return clause[T]{}, err
	}
	if len(tokens) == 0 {
		return clause[T]{holds: func(T) bool { return true }, can: anyState, must: anyState}, nil
	}
	p := &filterParser[T]{tokens: tokens, meaning: term, juxtaposed: juxtaposed}
	f, err := p.conjunction()
	if err == nil && !p.done() {
		err = fmt.Errorf("unexpected %q", p.peek().text)
	}
	return f, err
}

type token struct {
	kind rune // 'w' word, 's' quoted string, 'o' operator or parenthesis
	text string
}

func lex(text string) (tokens []token, err error) {
	r := []rune(text)
	for i := 0; i < len(r); {
		c := r[i]
		switch {
		case unicode.IsSpace(c):
			i++
		case c == '"' || c == '\'':
			var b strings.Builder
			for i++; i < len(r) && r[i] != c; i++ {
				if r[i] == '\\' && i+1 < len(r) {
					i++
				}
				b.WriteRune(r[i])
			}
			if i >= len(r) {
				return nil, fmt.Errorf("quoted string is not closed")
			}
			i++
			tokens = append(tokens, token{'s', b.String()})
		case strings.ContainsRune("!<>", c) && i+1 < len(r) && r[i+1] == '=':
			tokens = append(tokens, token{'o', string(r[i : i+2])})
			i += 2
		case strings.ContainsRune("()=<>:", c):
			tokens = append(tokens, token{'o', string(c)})
			i++
		case wordRune(c):
			start := i
			for i < len(r) && wordRune(r[i]) {
				i++
			}
			tokens = append(tokens, token{'w', string(r[start:i])})
		default:
			return nil, fmt.Errorf("unexpected %q", string(c))
		}
	}
	return tokens, nil
}

func wordRune(c rune) bool {
	return unicode.IsLetter(c) || unicode.IsMark(c) || unicode.IsDigit(c) || strings.ContainsRune("_-.*", c)
}

type filterParser[T any] struct {
	tokens     []token
	at         int
	meaning    func(comparison) (clause[T], error)
	juxtaposed bool
}

func (p *filterParser[T]) done() bool { return p.at >= len(p.tokens) }

func (p *filterParser[T]) peek() token {
	if p.done() {
		return token{}
	}
	return p.tokens[p.at]
}

func (p *filterParser[T]) next() token {
	t := p.peek()
	p.at++
	return t
}

// accept takes the next token if it is that one.
func (p *filterParser[T]) accept(kind rune, text string) bool {
	if p.peek() == (token{kind, text}) {
		p.at++
		return true
	}
	return false
}

func (p *filterParser[T]) conjunction() (clause[T], error) {
	left, err := p.disjunction()
	for err == nil && (p.accept('w', "AND") || p.juxtaposed && !p.done() && p.peek() != (token{'o', ")"})) {
		var right clause[T]
		right, err = p.disjunction()
		left = left.and(right)
	}
	return left, err
}

func (p *filterParser[T]) disjunction() (clause[T], error) {
	left, err := p.factor()
	for err == nil && p.accept('w', "OR") {
		var right clause[T]
		right, err = p.factor()
		left = left.or(right)
	}
	return left, err
}

func (p *filterParser[T]) factor() (clause[T], error) {
	if p.accept('w', "NOT") {
		f, err := p.factor()
		return f.not(), err
	}
	if p.accept('o', "(") {
		f, err := p.conjunction()
		if err == nil && !p.accept('o', ")") {
			err = fmt.Errorf("parenthesis is not closed")
		}
		return f, err
	}
	return p.term()
}

func (p *filterParser[T]) term() (clause[T], error) {
	field := p.next()
	if field.kind == 'w' && strings.HasSuffix(field.text, ".") && p.peek().kind == 's' {
		field.text += p.next().text // labels."a/b"
	}
	op, value := p.next(), p.next()
	if field.kind != 'w' || op.kind != 'o' || value.kind != 'w' && value.kind != 's' {
		return clause[T]{}, fmt.Errorf("expected a comparison at %q", field.text)
	}
	return p.meaning(comparison{field.text, op.text, value})
}

// plain is a clause that depends on no state.
func plain[T any](holds func(T) bool, needs ...string) (clause[T], error) {
	return clause[T]{holds: holds, needs: needs, can: anyState}, nil
}

// jobTerm is what a comparison says of a job.
func jobTerm(c comparison) (clause[*aiplatformpb.CustomJob], error) {
	type job = *aiplatformpb.CustomJob
	negate, value := c.op == "!=", c.value.text
	key, isLabel := strings.CutPrefix(c.field, "labels.")
	isLabel = isLabel && key != ""
	switch {
	case isLabel && c.op == "=":
		return plain(func(j job) bool { v, ok := j.Labels[key]; return ok && v == value }, labelPair(key, value))
	case isLabel && c.op == ":" && c.value == (token{'w', "*"}):
		return plain(func(j job) bool { _, ok := j.Labels[key]; return ok })
	case c.field == "display_name" && (c.op == "=" || negate):
		return plain(func(j job) bool { return (j.DisplayName == value) != negate })
	case c.field == "display_name" && c.op == ":":
		return plain(func(j job) bool { return matchStars(value, j.DisplayName) })
	case c.field == "state" && (c.op == "=" || negate) && c.value.kind == 's':
		n, ok := aiplatformpb.JobState_value[value]
		if !ok {
			return clause[job]{}, fmt.Errorf("%q is not a job state", value)
		}
		bits := uint32(1) << n
		if negate {
			bits = ^bits
		}
		return clause[job]{holds: func(j job) bool { return (int32(j.State) == n) != negate }, can: bits, must: bits}, nil
	case c.field == "create_time" && c.op != ":" && c.value.kind == 's':
		at, err := time.Parse(time.RFC3339Nano, value)
		if err != nil {
			return clause[job]{}, fmt.Errorf("create_time %q is not in RFC 3339 format", value)
		}
		holds, err := compares(c)
		if err != nil {
			return clause[job]{}, err
		}
		return plain(func(j job) bool { return holds(j.CreateTime.AsTime().Compare(at)) })
	}
	return clause[job]{}, c.refuse()
}

// labelPair names a label and its value in [clause.needs].
func labelPair(key, value string) string { return "labels." + key + "=" + value }

// compares says what the operator of a comparison makes of the result of a Compare.
func compares(c comparison) (func(int) bool, error) {
	holds := map[string]func(int) bool{
		"=":  func(c int) bool { return c == 0 },
		"!=": func(c int) bool { return c != 0 },
		"<":  func(c int) bool { return c < 0 },
		"<=": func(c int) bool { return c <= 0 },
		">":  func(c int) bool { return c > 0 },
		">=": func(c int) bool { return c >= 0 },
	}[c.op]
	if holds == nil {
		return nil, fmt.Errorf("field %q does not support %s", c.field, c.op)
	}
	return holds, nil
}

// matchStars reports whether text is pattern with some text for every star.
func matchStars(pattern, text string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == text
	}
	rest, ok := strings.CutPrefix(text, parts[0])
	if !ok {
		return false
	}
	for _, part := range parts[1 : len(parts)-1] {
		i := strings.Index(rest, part)
		if i < 0 {
			return false
		}
		rest = rest[i+len(part):]
	}
	return strings.HasSuffix(rest, parts[len(parts)-1])
}
