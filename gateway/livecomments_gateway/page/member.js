/** Who came with a token of the site: a JWT behind `#token=`. */

/**
 * The token is taken out of the address, and kept with this entry of the tab's history alone: a reload has it, no other tab
 * and no server. What is read of it only decides what is shown; what it may do is the service's word.
 */
export function takeMember() {
  try {
    const token = history.state?.token ?? decodeURIComponent(location.hash.slice("#token=".length));
    history.replaceState({ token }, "", location.pathname + location.search);
    const base64 = token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
    const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
    const { sub, name, roles } = JSON.parse(new TextDecoder().decode(bytes));
    return { token, userId: sub, displayName: name ?? sub, roles: Array.isArray(roles) ? roles : [] };
  } catch {
    history.replaceState(null, "", location.pathname + location.search);
    return null; // no JWT: a guest as any other
  }
}
