// Which device this page is: the two frames of index.html differ by nothing else.

export const device = new URLSearchParams(location.search).get('device') ?? 'Laptop'

/** What is kept for this device alone, in a browser that plays several. */
export const keyOf = (what: string) => `${device}/${what}`
