// Go's net/http on one stream, compressed as its transport asks by itself. Says what it reads, in lines of JSON:
// [kind, last id, data], and how each response ended: ["end", "", why]. Comes back as a browser would.
package main

import (
	"bufio"
	"encoding/json"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

func say(kind, id, data string) {
	line, _ := json.Marshal([]string{kind, id, data})
	os.Stdout.Write(append(line, '\n'))
}

func main() {
	lastID, retry := "", 3*time.Second
	for {
		request, _ := http.NewRequest("GET", os.Args[1], nil)
		request.Header.Set("Accept", "text/event-stream")
		if lastID != "" {
			request.Header.Set("Last-Event-ID", lastID)
		}
		if response, err := http.DefaultClient.Do(request); err != nil {
			say("end", "", err.Error())
		} else {
			kind, data := "", []string{}
			lines := bufio.NewScanner(response.Body)
			lines.Buffer(nil, 1<<20)
			for lines.Scan() {
				field, value, _ := strings.Cut(lines.Text(), ":")
				value = strings.TrimPrefix(value, " ")
				switch field {
				case "event":
					kind = value
				case "id":
					lastID = value
				case "data":
					data = append(data, value)
				case "retry":
					if ms, err := strconv.Atoi(value); err == nil {
						retry = time.Duration(ms) * time.Millisecond
					}
				case "":
					if len(data) > 0 {
						say(kind, lastID, strings.Join(data, "\n"))
					}
					kind, data = "", nil
				}
			}
			why := "clean"
			if lines.Err() != nil {
				why = lines.Err().Error()
			}
			say("end", "", why)
			response.Body.Close()
		}
		time.Sleep(retry)
	}
}
