// SPDX-License-Identifier: Apache-2.0

package conform

import "crypto/sha256"

func infoCall() call { return call{cmd: cmdInfo} }

func keygenCall(alg string, token [32]byte, replace bool) call {
	body := map[string]any{"alg": alg, "token": token[:]}
	if replace {
		body["replace"] = true
	}
	return call{cmd: cmdKeygen, write: true, body: body}
}

func csrCall(cn, sn string, nonce []byte) call {
	body := map[string]any{"cn": cn, "nonce": nonce}
	if sn != "" {
		body["sn"] = sn
	}
	return call{cmd: cmdCSR, write: true, body: body}
}

func getCall(obj string, off int) call {
	return call{cmd: cmdGet, body: map[string]any{"obj": obj, "off": off}}
}

// putCall puts data of whole at off.
func putCall(obj string, off int, data, whole []byte) call {
	body := map[string]any{"obj": obj, "off": off, "data": append([]byte{}, data...)}
	if off == 0 {
		sha := sha256.Sum256(whole)
		body["len"], body["sha"] = len(whole), sha[:]
	}
	return call{cmd: cmdPut, write: true, body: body}
}

// commitCall names objects by their bytes; nil ones are not named.
func commitCall(chain, anchors, rework []byte) call {
	body := map[string]any{}
	for name, data := range map[string][]byte{"chain": chain, "anchors": anchors, "rework": rework} {
		if data != nil {
			sha := sha256.Sum256(data)
			body[name] = sha[:]
		}
	}
	return call{cmd: cmdCommit, write: true, body: body}
}

func proveCall(nonce []byte) call {
	return call{cmd: cmdProve, write: true, body: map[string]any{"nonce": nonce}}
}

func tlsSignCall(tbs []byte) call {
	return call{cmd: cmdTLSSign, write: true, body: map[string]any{"tbs": append([]byte{}, tbs...)}}
}

func lockCall(chain []byte) call {
	return call{cmd: cmdLock, write: true, body: map[string]any{"chain": chain}}
}

func challengeCall() call { return call{cmd: cmdChallenge} }

func reworkCall(key int, sig []byte) call {
	return call{cmd: cmdRework, write: true, body: map[string]any{"key": key, "sig": sig}}
}
